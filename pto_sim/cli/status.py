"""From errors to exit status: 1 the kernel or the run is at fault, 2 the input is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

FAILED, USAGE = 1, 2


@contextmanager
def exit_status() -> Iterator[None]:
    """Turn what a command raises into one message on stderr and an exit status, without a traceback."""
    from pto_sim.program.errors import InputError, PtoError  # here, because it imports numpy and `--help` must not

    try:
        yield
    except PtoError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(USAGE if isinstance(error, InputError) else FAILED) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        raise typer.Exit(FAILED) from None  # the reader (`| head`) has gone
