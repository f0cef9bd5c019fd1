//! A report as one self-contained page, for a person who believes no converter: the verdict, then everything it follows
//! from, then what it cannot show.
//!
//! The page has no script and fetches nothing, and says so to the browser, which holds it to that (Content-Security-Policy).

mod markup;
mod numbers;
mod picture;
mod plot;
mod tables;

use markup::Markup;

use super::{Comparison, Picture, Report, Verdict};

const CSS: &str = include_str!("page.css");

/// The page.
pub fn html(report: &Report, picture: &Picture) -> String {
    let mut page = Markup::default();
    page.doctype();
    page.element("html", &[("lang", "en")], |html| {
        html.element("head", &[], |head| {
            head.void("meta", &[("charset", "utf-8")]);
            let policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
            head.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", policy)]);
            head.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
            head.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
            head.words("title", &[], &format!("{}: {}", report.model, report.verdict.text()));
            head.style(CSS);
        });
        html.element("body", &[], |body| {
            verdict(body, report);
            body.element("main", &[], |main| sections(main, report, picture));
            body.element("footer", &[], |footer| footer.element("p", &[], |p| signature(p, report)));
        });
    });
    page.finish()
}

fn verdict(page: &mut Markup, report: &Report) {
    let (class, sign) = match report.verdict {
        Verdict::Same => ("same", "✓"),
        Verdict::SameWithKnownDeviation => ("deviation", "≈"),
        Verdict::Different => ("different", "✗"),
    };
    page.element("header", &[("class", class)], |header| {
        header.element("div", &[], |inner| {
            inner.element("h1", &[], |title| {
                title.words("span", &[("class", "sign"), ("aria-hidden", "true")], sign);
                title.text(&capitalised(report.verdict.text()));
            });
            inner.words("p", &[("class", "sentence")], &sentence(report));
            inner.element("p", &[("class", "model")], |model| {
                model.words("span", &[], "Model ");
                model.element("b", &[], |name| name.foreign(&report.model));
            });
        });
    });
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn sentence(report: &Report) -> String {
    match report.verdict {
        Verdict::Same => format!(
            "Every weight{}, every fact and every pixel in the folder is what the source says, and both networks, run on one \
             picture, differ by no more than rounding explains.",
            report.cast.as_ref().map_or_else(String::new, |cast| format!(", rounded to {} as asked", cast.dtype))
        ),
        Verdict::SameWithKnownDeviation => {
            "Every weight and every fact in the folder is what the source says. The outputs differ in a way that is known \
             and named below; with that taken away, both networks differ by no more than rounding explains."
                .to_owned()
        }
        Verdict::Different => format!(
            "The folder is not the same model as its source, for {} named below.",
            match report.reasons.len() {
                1 => "the reason".to_owned(),
                count => format!("the {count} reasons"),
            }
        ),
    }
}

/// A part of the page under its own heading.
fn section(page: &mut Markup, id: &str, title: &str, inside: impl FnOnce(&mut Markup)) {
    let heading = format!("{id}-heading");
    page.element("section", &[("id", id), ("aria-labelledby", &heading)], |section| {
        section.words("h2", &[("id", &heading)], title);
        inside(section);
    });
}

fn sections(main: &mut Markup, report: &Report, picture: &Picture) {
    at_a_glance(main, report);
    if !report.reasons.is_empty() {
        section(main, "reasons", "Why it is different", |page| {
            page.element("ul", &[], |list| {
                for reason in &report.reasons {
                    list.element("li", &[], |item| item.foreign(reason));
                }
            });
        });
    }
    if report.known_deviation.is_some() {
        section(main, "deviation", "The known deviation", |page| known_deviation(page, report));
    }
    if report.cast.is_some() {
        section(main, "cast", "The cast", |page| cast(page, report));
    }
    section(main, "sight", "What both networks saw", |page| picture::sight(page, report, picture));
    section(main, "depth", "The difference over the depth of the network", |page| {
        let text = "Hidden states after every layer, then the outputs: the largest difference of all their numbers, relative \
                    to their size (root mean square). Two correct programs that add in different orders differ by what \
                    rounding explains; it is computed from the network's size and depth, not chosen to fit.";
        page.words("p", &[], text);
        plot::plot(page, report);
        tables::places(page, report);
    });
    section(main, "networks", "What was run on what", |page| tables::networks(page, report));
    section(main, "accounts", "Tensors in, tensors out", |page| tables::accounts(page, report));
    section(main, "weights", "The weights, bit by bit", |page| {
        let text = "The bytes that the rules make of the source, computed once more from the source file, against the bytes \
                    that lie in the folder.";
        page.words("p", &[], text);
        tables::weights(page, report);
    });
    section(main, "facts", "Facts that no output shows", |page| {
        let text = "What the source is, against the folder's config.json as transformers reads it, defaults included.";
        page.words("p", &[], text);
        tables::facts(page, report);
    });
    section(main, "pixels", "The pixels", |page| {
        let text = "The picture, and two others cut from it, prepared by both sides; each side has its own code for it.";
        page.words("p", &[], text);
        tables::pixels(page, report);
    });
    section(main, "origin", "Where the source came from", |page| tables::origin(page, report));
    section(main, "limits", "What this page cannot show", limits);
}

fn at_a_glance(page: &mut Markup, report: &Report) {
    let weights = &report.weights;
    let tensors = weights.same + weights.different.len() + weights.missing.len() + weights.extra.len();
    let places = report.judged();
    let apart = report.taken_over().map_or_else(String::new, |what| format!(", {what} apart"));
    let by_relative =
        |a: &&Comparison, b: &&Comparison| a.difference.relative.total_cmp(&b.difference.relative);
    let outputs = match places.iter().max_by(by_relative) {
        None => "nothing was compared".to_owned(),
        Some(largest) if largest.difference.relative == 0.0 => {
            format!("no number differs in {}{apart}", numbers::counted(places.len(), "place"))
        }
        Some(largest) => format!(
            "largest relative difference, at {}; rounding explains {}{apart}",
            largest.place,
            numbers::difference(largest.tolerance)
        ),
    };
    let largest =
        |list: &[Comparison]| list.iter().map(|place| place.difference.relative).fold(0.0, f64::max);
    let pixels = report.pixels.iter().map(|pixels| pixels.difference.largest).fold(0.0, f64::max);
    let of = |some: usize, all: usize| {
        format!("{} of {}", numbers::count(some as u64), numbers::count(all as u64))
    };
    page.element("ul", &[("class", "glance"), ("aria-label", "At a glance")], |list| {
        let mut tile = |name: &str, agrees: bool, value: &str, told: &str| {
            list.element("li", if agrees { &[] } else { &[("class", "wrong")] }, |tile| {
                tile.element("span", &[("class", "what")], |what| {
                    what.words(
                        "span",
                        &[("class", if agrees { "yes" } else { "no" })],
                        if agrees { "✓" } else { "✗" },
                    );
                    what.text(&format!(" {name}{}", if agrees { "" } else { " disagree" }));
                });
                tile.words("b", &[], value);
                tile.words("span", &[], told);
            });
        };
        tile("Weights", weights.agree(), &of(weights.same, tensors), "tensors are the same bit by bit");
        let agrees = places.iter().all(|place| place.agrees);
        tile("Outputs", agrees, &numbers::difference(largest(places)), &outputs);
        let (agree, facts) = report.agreeing_facts();
        tile("Facts", agree == facts, &of(agree, facts), "facts that have an effect agree");
        let agrees = report.pixels.iter().all(|pixels| pixels.agrees);
        tile(
            "Pixels",
            agrees,
            &numbers::difference(pixels),
            "largest difference of prepared pixels, on three pictures",
        );
    });
}

fn known_deviation(page: &mut Markup, report: &Report) {
    let Some(deviation) = &report.known_deviation else { return };
    page.element("p", &[], |p| {
        p.text(&deviation.what);
        p.text(".");
    });
    page.words("p", &[], &effect(report, &deviation.measured, &deviation.without_it));
}

fn cast(page: &mut Markup, report: &Report) {
    let Some(cast) = &report.cast else { return };
    let text = format!(
        "Every weight was rounded to {}, as the bytes below confirm one by one. The source was therefore also run on its own \
         weights, rounded in the same way: what is left then must be as small as without a cast.",
        cast.dtype
    );
    page.words("p", &[], &text);
    page.words("p", &[], &effect(report, &cast.measured, &cast.without_it));
}

/// What something does to the last output, and what is left without it.
fn effect(report: &Report, measured: &[Comparison], without: &[Comparison]) -> String {
    let (Some(measured), Some(without)) = (measured.last(), without.last()) else {
        return "The folder's network cannot be run, so its effect was not measured.".to_owned();
    };
    format!(
        "On this picture it moves the {} by up to {:.4}, where their size is {}. With the source run as the target \
         computes, they differ by {}, where rounding explains {}{}.",
        measured.place,
        measured.difference.largest,
        numbers::size(measured.difference.size),
        numbers::difference(without.difference.largest),
        numbers::difference(without.tolerance * without.difference.size),
        if report.judged().iter().all(|place| place.agrees) { ": nothing else is different" } else { "" }
    )
}

fn limits(page: &mut Markup) {
    let texts = [
        "Both networks were run on one picture. A difference that this picture does not excite is not in the outputs; that is \
         why weights, facts and pixels are also compared for themselves.",
        "Both networks were run by vitport in float32. They are separate definitions that share the arithmetic beneath, and \
         vitport's tests hold them against the outputs of timm, of Microsoft's code and of transformers; no Python ran here.",
        "That both agree says nothing about how good the model is, or whether the file holds what its name promises. The \
         sha256 above is there to be compared with what the publisher states.",
    ];
    page.element("ul", &[], |list| {
        for text in texts {
            list.words("li", &[], text);
        }
    });
    page.element("p", &[], |p| {
        p.text("To see it again: ");
        p.code("vitport verify SOURCE FOLDER --report page.html");
        p.text(". Everything here and more is in ");
        p.code("--report report.json");
        p.text(".");
    });
}

fn signature(page: &mut Markup, report: &Report) {
    page.text(&format!(
        "vitport {}, schema {}. Weighed in {:.0} ms. This page has no script and loads nothing.",
        report.vitport, report.schema, report.timings.total_ms
    ));
}
