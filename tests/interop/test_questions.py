"""Questions on a terminal: asked where someone can answer, and the answers are options for the next time."""
import os
import pty

import timm
import torch

import environment

SIZES = {"img_size": (64, 32), "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 4}


def on_a_terminal(answers, *arguments):
    """Runs vitport on a pseudo-terminal and types an answer at each prompt; (exit code, what is shown)."""
    command = [str(environment.binary()), *map(str, arguments)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    shown, answers = b"", list(answers)
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        shown += data
        if answers and shown.endswith(b"stop: "):
            os.write(terminal, answers.pop(0).encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def save(path):
    torch.manual_seed(3)
    torch.save(timm.create_model("vit_tiny_patch16_224", **SIZES).state_dict(), path)


def test_answers_convert_and_are_printed_as_options(tmp_path):
    source, out = tmp_path / "oblong.pth", tmp_path / "out"
    save(source)
    # 64x32, another number of heads than no number at all, the first way of preprocessing, squash.
    code, shown = on_a_terminal(["1", "x", "6", "3", "1", "1"], "convert", source, "-o", out)
    assert code == 0, shown
    assert "`x` is not one of the numbers" in shown
    said = next(line for line in shown.splitlines() if "the same without questions: " in line)
    options = said.split("questions: vitport ")[1]
    assert options.startswith(f"convert {source} -o {out} --image-size 64x32 --num-heads 3 --like ")
    again = environment.run(*options.split(), "--force")
    assert again.returncode == 0, again.stderr


def test_nothing_is_asked_where_that_is_not_wanted(tmp_path):
    source = tmp_path / "oblong.pth"
    save(source)
    for option in ("--no-input", "--json", "-q"):
        code, shown = on_a_terminal([], "plan", source, option)
        assert code == 4 and "stop: " not in shown, shown
    code, shown = on_a_terminal([""], "plan", source)
    assert code == 4 and "--like NAME.TAG --crop-mode squash" in shown.splitlines()[-1], shown
    piped = environment.run("plan", source)
    assert piped.returncode == 4 and "stop: " not in piped.stderr
