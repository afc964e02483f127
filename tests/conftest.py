"""Prepares OpenCL, skips or fails tests by the backends they need, and says at the end which backends ran."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import spirv_tools, support
from tests.opencl_icd import ensure_icds
from tritloom.backends import cache, vulkan, vulkan_instance

ensure_icds()

_PROFILES = hypothesis.settings(deadline=None, print_blob=True)
hypothesis.settings.register_profile("default", _PROFILES, max_examples=25)
hypothesis.settings.register_profile("ci", _PROFILES, max_examples=25, derandomize=True, database=None)
hypothesis.settings.register_profile("thorough", _PROFILES, max_examples=1000)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default")
)

_ran: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that writes the expected texts of `golden` anew."""
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden anew instead of comparing"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a misspelt backend name before any test runs; keep compiled code in a folder of this run.

    Under xdist the workers inherit the folder, so what one of them compiled the others only load.
    """
    support.required_backends()
    if not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="tritloom-cache-")
        os.environ[cache.VARIABLE] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    if spirv_tools.validator() is not None or "vulkan" in support.required_backends():
        vulkan.on_module.append(lambda _, words: spirv_tools.validate(words))
    if vulkan_instance.validation_installed():
        os.environ.setdefault(vulkan_instance.VALIDATION_VARIABLE, "1")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `backend_name` once for every backend that runs programs here."""
    given = {name for mark in metafunc.definition.iter_markers("parametrize") for name in _names(mark)}
    if "backend_name" in metafunc.fixturenames and "backend_name" not in given:
        parameters = [pytest.param(name, marks=pytest.mark.device(name)) for name in support.RUNNABLE]
        metafunc.parametrize("backend_name", parameters)


def _names(mark: pytest.Mark) -> list[str]:
    """The argument names of a `parametrize` mark, which are one string with commas or a sequence."""
    names = mark.args[0] if mark.args else mark.kwargs["argnames"]
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Apply the `device` marks before any fixture is made."""
    support.follow(item)
    for mark in item.iter_markers("device"):
        support.require_backend(*mark.args)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the tests that ran on each backend; under xdist the reports come from the workers."""
    if report.when == "call" and not report.skipped:
        _ran.update(str(name) for key, name in report.user_properties if key == support.PROPERTY)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for the backends, one for the reference tensors: what this run did and did not cover."""
    parts = []
    for name in support.BACKENDS:
        reason = support.missing_reason(name)
        if _ran[name]:
            parts.append(f"{name} ran ({_ran[name]}){_which(name)}")
        else:
            parts.append(f"{name} not asked for" if reason is None else f"{name} missing: {reason}")
    terminalreporter.write_line(f"backends: {'; '.join(parts)}")
    terminalreporter.write_line(f"reference tensors: {support.oracle_folder() or 'missing'}")


def _which(name: str) -> str:
    """The device that a backend's tests ran on, where the name does not tell."""
    found = vulkan.VulkanBackend().devices() if name == "vulkan" else []
    return f" on {found[0].description}" if found else ""


@pytest.fixture(autouse=True)
def _no_validation_messages() -> Iterator[None]:
    """Fail a test in which Vulkan's validation layer reported something that nobody has raised yet."""
    yield
    if vulkan_instance.instance.cache_info().currsize:
        vulkan_instance.instance().raise_messages()


@pytest.fixture(scope="session")
def oracle() -> Path:
    """The folder of reference tensors made with other software. Without it a test is skipped, in CI failed."""
    folder = support.oracle_folder()
    if folder is None:
        message = (
            f"no reference tensors: neither ${support.ORACLE_VARIABLE} nor ../shared/oracle holds fwd.npz"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return folder


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` compares a text with the one of that name in tests/golden."""
    folder = Path(__file__).parent / "golden"

    def compare(name: str, text: str) -> None:
        path = folder / name
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.is_file(), f"{path} does not exist; pytest --update-golden writes it"
        assert text == path.read_text(), f"{name} has changed; if that is right: pytest --update-golden"

    return compare
