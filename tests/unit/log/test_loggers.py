"""The two loggers: nobody disables them, and a stray handler takes nothing from them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import logging, logging.config, os, sys
{before}
from asgiserver import Config
from asgiserver.log.loggers import access_logger, logger
from asgiserver.log.setup import setup_logging
handle = setup_logging(Config(use_colors=False))
{then}
handle.close()
"""


def run(then: str, before: str = "") -> list[str]:
    """What a program writes to stderr, without the time."""
    program = PROGRAM.format(before=before, then=then)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return [line[24:] if line[:2] == "20" else line for line in done.stderr.splitlines()]


def test_no_configuration_disables_them() -> None:
    lines = run(
        "logging.config.dictConfig({'version': 1})\n"
        "assert not logger.disabled and not access_logger.disabled\n"
        "logger.info('here')\n"
        "logger.disabled = True\n"
        "logger.error('still here')\n"
    )
    assert lines == ["INFO     here", "ERROR    still here"]


def test_one_that_names_them_without_a_handler_leaves_ours() -> None:
    lines = run(
        "logging.config.dictConfig({'version': 1, 'loggers': {'asgiserver': {'level': 'DEBUG'}}})\n"
        "logger.debug('here')\n"
    )
    assert lines == ["DEBUG    here"]


def test_a_stray_warning_is_no_configuration_and_no_line_comes_twice() -> None:
    lines = run(
        "logging.warning('stray')\n"
        "logger.info('ours')\n"
        "access_logger.info('ours')\n"
        "logging.getLogger('asgiserverish').warning('theirs')\n"
        "logging.getLogger().setLevel(logging.INFO)\n"  # now somebody means it
        "logger.info('handed over')\n"
    )
    assert lines == [
        "WARNING:root:stray",
        "INFO     ours",
        "INFO     ours",
        "WARNING:asgiserverish:theirs",
        "INFO:asgiserver:handed over",
    ]


@pytest.mark.parametrize(
    "options",
    ["level='INFO'", "format='%(levelname)s:%(message)s'", "stream=open(2, 'w', closefd=False)"],
)
def test_a_basic_config_that_says_something_is_one(options: str) -> None:
    before = f"logging.basicConfig({options})\nlogging.getLogger('asgiserver').setLevel('INFO')"
    lines = run("logger.info('theirs')\n", before)
    assert len(lines) == 1
    assert lines[0].startswith("INFO:")


def test_a_stray_handler_is_given_back() -> None:
    lines = run(
        "logging.warning('stray')\nlogger.info('ours')\nhandle.close()\nlogger.warning('theirs')\n"
    )
    assert lines == ["WARNING:root:stray", "INFO     ours", "WARNING:asgiserver:theirs"]


def test_the_class_that_an_application_has_set_for_loggers_is_kept() -> None:
    before = """
class Mine(logging.Logger):
    def shout(self, text):
        self.info(text.upper())
logging.setLoggerClass(Mine)
"""
    then = "logger.disabled = True\nlogger.shout('here')\nassert isinstance(logger, Mine)\n"
    assert run(then, before) == ["INFO     HERE"]


def test_a_record_that_cannot_be_formatted_stops_nobody() -> None:
    lines = run(
        "logger.info('%d', 'x')\n"
        "sys.stderr = object()\n"
        "logger.info('%d', 'x')\n"
        "sys.stderr = sys.__stderr__\n"
    )
    assert "--- Logging error ---" in lines
    assert "TypeError: %d format: a real number is required, not str" in lines


def test_a_handler_of_the_access_logger_alone_is_enough_for_its_records() -> None:
    lines = run(
        "access_logger.addHandler(logging.StreamHandler())\n"
        "access_logger.info('once')\n"
        "logger.info('ours')\n"
    )
    assert lines == ["once", "INFO     ours"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_write_what_its_parent_has_kept() -> None:
    lines = run(
        "kept = sys.stderr\n"
        "reader, writer = os.pipe()\n"
        "os.set_blocking(writer, False)\n"
        "try:\n"
        "    while os.write(writer, b'-' * 4096): pass\n"
        "except BlockingIOError: pass\n"
        "sys.stderr = open(writer, 'w')\n"
        "logger.info('of the parent')\n"
        "sys.stderr = kept\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    logger.info('of the child')\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "logger.info('afterwards')\n"
    )
    assert lines == ["INFO     of the child", "INFO     of the parent", "INFO     afterwards"]
