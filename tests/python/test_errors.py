"""Every kind of error has its class, the fields of the command's document, and survives pickling."""
import pickle

import pytest
from conftest import FILES, TWIN

import vitport
from vitport import _errors, _vitport


def raised(error, call):
    with pytest.raises(error) as caught:
        call()
    return caught.value


def test_each_kind_has_a_class():
    kinds = dict(_vitport.kinds())
    assert set(_errors.CLASSES) == set(kinds)
    assert len(set(_errors.CLASSES.values())) == len(kinds)
    for name in vitport.__all__:
        if name.endswith("Error") and name != "Error":
            assert issubclass(getattr(vitport, name), vitport.Error)
    assert all(getattr(vitport, made.__name__) is made for made in _errors.CLASSES.values())


def test_the_tree_follows_exit_codes():
    exit_codes = dict(_vitport.kinds())
    for group, code in [(vitport.FileError, 3), (vitport.IdentificationError, 4), (vitport.AccessError, 6)]:
        found = {kind for kind, made in _errors.CLASSES.items() if issubclass(made, group)}
        assert found == {kind for kind, exit_code in exit_codes.items() if exit_code == code}


def test_an_error_has_the_fields_of_the_document():
    error = raised(vitport.ContradictionError, lambda: vitport.plan(TWIN, num_heads=5))
    assert error.kind == "contradiction" and error.exit_code == 4 and error.fact == "num_heads"
    assert error.file == str(TWIN)
    assert str(error) == error.message == error.to_dict()["message"] and error.to_dict()["schema"] == "vitport/error/2"


def test_questions_come_with_candidates():
    error = raised(vitport.QuestionError, lambda: vitport.plan(TWIN.parent / "cvt_tiny/tiny.pth"))
    assert {question["option"] for question in error.questions} >= {"--num-heads", "--image-size"}


def test_errors_are_pickled_whole():
    for error in [
        raised(vitport.UnreadableError, lambda: vitport.plan("no-such-file.pth")),
        raised(vitport.QuestionError, lambda: vitport.plan(TWIN.parent / "cvt_tiny/tiny.pth")),
        raised(vitport.UsageError, lambda: vitport.plan(TWIN, mean="many")),
    ]:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and again.to_dict() == error.to_dict() and str(again) == str(error)


def test_reading_raises_the_same_errors():
    raised(vitport.UnreadableError, lambda: vitport.load_state_dict("no-such-file.pth"))
    raised(vitport.RefusedError, lambda: vitport.load_state_dict(FILES / "sparse.pth"))
    error = raised(vitport.UsageError, lambda: vitport.load_state_dict(FILES / "small.pth", max_header="much"))
    assert isinstance(error, ValueError)


def test_an_option_that_is_not_there_is_named():
    error = raised(vitport.UsageError, lambda: vitport.plan(TWIN, heads=3))
    assert "`heads`" in str(error) and "num_heads" in str(error)
    raised(vitport.UsageError, lambda: vitport.plan(TWIN, print_mapping=True))
    raised(TypeError, lambda: vitport.plan(TWIN, arch=object()))


def test_a_dangerous_pickle_is_not_run(tmp_path):
    class Bad:
        def __reduce__(self):
            import os

            return (os.mkdir, (str(tmp_path / "run"),))

    file = tmp_path / "bad.pkl"
    file.write_bytes(pickle.dumps({"weight": Bad()}, protocol=2))
    error = raised(vitport.DangerousError, lambda: vitport.load_state_dict(file))
    assert isinstance(error, vitport.FileError) and "mkdir" in str(error)
    assert "mkdir" in vitport.inspect(file).dangerous_call
    assert not (tmp_path / "run").exists()
