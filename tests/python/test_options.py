"""The functions' options are the command's: the lists for type checkers name the same, and no other."""
import inspect

import pytest

import vitport
from vitport import _commands, _options, _vitport

FUNCTIONS = {
    "plan": _options.PlanOptions,
    "convert": _options.ConvertOptions,
    "verify": _options.VerifyOptions,
    "inspect": _options.InspectOptions,
    "diff": _options.DiffOptions,
    "classify": _options.ClassifyOptions,
    "models": _options.ModelsOptions,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_the_commands_options(name):
    of_the_command = dict(_vitport.options_of(name))
    for other in _commands.OTHER_DOCUMENT.get(name, ()):
        del of_the_command[other]
    listed = set(FUNCTIONS[name].__annotations__)
    parameters = inspect.signature(getattr(vitport, name)).parameters
    named = {each for each in parameters if each in of_the_command}
    assert listed | named == set(of_the_command) and not listed & named


@pytest.mark.parametrize("name", FUNCTIONS)
def test_flags_are_flags(name):
    types = FUNCTIONS[name].__annotations__
    for option, takes_value in _vitport.options_of(name):
        if option in types:
            written = getattr(types[option], "__forward_arg__", types[option])
            assert (written == "bool") is not takes_value, option


def test_reading_takes_the_limits_and_the_key():
    limits = set(_options.LimitOptions.__annotations__)
    of_inspect = dict(_vitport.options_of("inspect"))
    assert limits | {"key"} <= set(of_inspect)
    assert "key" in inspect.signature(vitport.load_state_dict).parameters
