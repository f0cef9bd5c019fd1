//! Tests how repositories are named on a command line, and what is not a name.

use vitport::hub::{HubError, HubErrorClass, RepoId};

#[test]
fn every_way_to_name_a_repository() {
    for (text, repo, revision, file) in [
        (
            "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k",
            "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k",
            "main",
            None,
        ),
        ("org/name@v1.0", "org/name", "v1.0", None),
        ("hf-hub:org/name@refs/pr/12", "org/name", "refs/pr/12", None),
        ("hf_hub:org/name", "org/name", "main", None),
        ("hf://org/name@feature/x", "org/name", "feature/x", None),
        ("hf-hub:gpt2", "gpt2", "main", None),
        ("org/name/a/b.pth", "org/name", "main", Some("a/b.pth")),
        ("org/name:b.pth", "org/name", "main", Some("b.pth")),
        (
            "org/name/b.pth@0123456789abcdef0123456789abcdef01234567",
            "org/name",
            "0123456789abcdef0123456789abcdef01234567",
            Some("b.pth"),
        ),
        ("org/name@refs/pr/1:a/b.pth", "org/name", "refs/pr/1", Some("a/b.pth")),
        (" org/name\n", "org/name", "main", None),
        ("https://huggingface.co/org/name", "org/name", "main", None),
        ("https://hf.co/org/name/", "org/name", "main", None),
        ("https://huggingface.co/org/name/tree/v2", "org/name", "v2", None),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F4", "org/name", "refs/pr/4", None),
        (
            "https://huggingface.co/org/name/blob/main/w/CvT%2013.pth?x=y",
            "org/name",
            "main",
            Some("w/CvT 13.pth"),
        ),
        (
            "https://huggingface.co/org/name/resolve/main/b.pth?download=true",
            "org/name",
            "main",
            Some("b.pth"),
        ),
    ] {
        let id = RepoId::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((id.repo(), id.revision(), id.file()), (repo, revision, file), "{text}");
        let shown = if repo.contains('/') { id.to_string() } else { format!("hf-hub:{id}") };
        assert_eq!(RepoId::parse(&shown).unwrap(), id, "{shown}");
    }
}

#[test]
fn what_is_no_name_is_refused_in_one_line() {
    for text in [
        "",
        "name",
        "org/",
        "/name",
        "org//x",
        "org/na me",
        "org/na--me",
        "org/..",
        "../name",
        "org/name.git",
        "-org/name",
        "org/name.",
        "org/name@",
        "org/name@a b",
        "org/name@..",
        "org/name@a/../b",
        "org/name@/a",
        "org/name@a@{b",
        "org/name@a~1",
        "org/name:",
        "org/name:../../x",
        "org/name:/etc/passwd",
        "org/name:a\\b",
        "org/name/a.pth:b.pth",
        "org/name:a@b:c",
        "org/name:c\u{1b}[31m",
        "hf-hub:",
        "hf-hub:a/b/../c",
        "https://huggingface.co/",
        "https://huggingface.co/org",
        "https://huggingface.co/datasets/org/name",
        "https://huggingface.co/org/name/tree/main/folder",
        "https://huggingface.co/org/name/discussions/1",
        "https://example.org/org/name",
        "https://huggingface.co/org/name/blob/main",
        "https://huggingface.co/org/name/tree/%zz",
        "https://huggingface.co/org/name/blob/main/%2e%2e/x",
    ] {
        let error = RepoId::parse(text).expect_err(text);
        assert!(matches!(error, HubError::BadName { .. }), "{text}: {error}");
        assert_eq!(error.class(), HubErrorClass::Usage);
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
    assert!(RepoId::parse(&format!("o/{}", "n".repeat(95))).is_err());
}

#[test]
fn a_revision_can_be_given_apart() {
    let id = RepoId::parse("org/name:a.pth").unwrap().at("v2").unwrap();
    assert_eq!((id.revision(), id.file()), ("v2", Some("a.pth")));
    assert!(RepoId::parse("org/name").unwrap().at("..").is_err());
}

#[test]
fn only_prefixed_names_are_explicit() {
    for text in ["hf-hub:a/b", "hf_hub:a/b", "hf://a/b", "https://huggingface.co/a/b"] {
        assert!(RepoId::is_explicit(text), "{text}");
    }
    for text in ["a/b", "hf-hub", "https://example.org/cat.png"] {
        assert!(!RepoId::is_explicit(text), "{text}");
    }
}
