"""Logs: one line an event; JSON unless a person is looking."""

import sys

import structlog


class _Stderr:
    """Looks for `sys.stderr` anew for each line, so that whoever captures it has it."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    debug = info = warning = error = critical = exception = msg


def configure_logs() -> None:
    """Tracebacks are plain: those with local variables in them would write passwords and tokens down."""
    person = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if person else [structlog.processors.format_exc_info]),
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
            if person
            else structlog.processors.JSONRenderer(),
        ],
        logger_factory=_Stderr,
        cache_logger_on_first_use=True,
    )
