"""`--compile`: what torch.compile cannot do on a machine, in one line."""

from collections.abc import Generator
from contextlib import contextmanager

from schemas.errors import StudentError

_MAX_REASON = 200


@contextmanager
def able_to_compile() -> Generator[None]:
    """Make one line of a student that cannot be compiled, as where a CPU has no C++ compiler beside it.

    Compiling happens in the first steps, forward and backward, not where it is asked for.

    Raises:
        StudentError: it cannot.
    """
    try:
        yield
    except RuntimeError as error:
        # Known by their home: to import it takes a second, which a run without --compile is spared.
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = " ".join(str(error).split())[:_MAX_REASON]
        raise StudentError(
            f"--compile: the student cannot be compiled here ({reason}); on a CPU it wants a C++ compiler "
            "such as g++; else begin anew without --compile"
        ) from None
