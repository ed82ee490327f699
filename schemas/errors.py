"""Every exception that the project raises on purpose.

ArmadaError
├── ConfigError            a setting that cannot be right (exit status 2, like any wrong usage)
├── SourceError            an example file that cannot be read as asked
├── CacheError             a teacher cache that cannot be used or continued
│   ├── LockedError        another process writes to it
│   ├── MismatchError      it was made by another teacher, prompt set or parameter
│   ├── ManifestError      its manifest is missing, damaged or of another version
│   ├── ShardError         a shard is missing, damaged, altered, foreign or of another version
│   └── StoreError         an object store does not answer, or refuses
├── TeacherError           a teacher that cannot be loaded or asked
├── StudentError           a student that cannot be loaded or trained
├── ResultError            a result file that is missing, damaged or of another version
├── AnalysisError          finished runs that an analysis cannot be made of
├── StoppedError           a signal asked to stop; what was done is saved
└── ShapeError             two tensors that do not fit each other

A message is one line: the thing, the value found, the value wanted, what to do next.
"""


class ArmadaError(Exception):
    """Root of all that a user can mend; a command prints it as one line and leaves with `exit_status`."""

    exit_status = 1


class ConfigError(ArmadaError):
    """A setting that cannot be right whatever the data are."""

    exit_status = 2


class SourceError(ArmadaError):
    """A source of examples that cannot be read as asked."""


class CacheError(ArmadaError):
    """A teacher cache that cannot be used or continued."""


class LockedError(CacheError):
    """Another process holds the cache."""


class MismatchError(CacheError):
    """The cache on disk belongs to another teacher, prompt set, template or parameter."""


class ManifestError(CacheError):
    """The manifest is missing, damaged or of another version."""


class ShardError(CacheError):
    """A shard is missing, damaged, altered, foreign or of another version."""


class StoreError(CacheError):
    """An object store does not answer, or refuses."""


class TeacherError(ArmadaError):
    """A teacher that cannot be loaded or asked."""


class StudentError(ArmadaError):
    """A student that cannot be loaded or trained."""


class ResultError(ArmadaError):
    """A result file that is missing, damaged or of another version."""


class AnalysisError(ArmadaError):
    """Finished runs that an analysis cannot be made of."""


class StoppedError(ArmadaError):
    """A signal asked to stop, and what was done is saved.

    Args:
        message: the line to print.
        exit_status: 128 and the signal's number, as a shell has it.
    """

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class ShapeError(ArmadaError):
    """Two tensors, or a tensor and the cache, that do not fit each other."""
