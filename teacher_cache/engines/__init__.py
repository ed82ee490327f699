"""Where a teacher answers: in processes of this machine, or on the machines of a Ray cluster."""

from importlib.util import find_spec

from schemas.errors import TeacherError
from teacher_cache.config import CacheConfig
from teacher_cache.settings import calls_a_worker
from teacher_cache.teachers import Backend, Teacher, TeacherSettings


def on_engine(
    config: CacheConfig, teacher: Teacher, backend: Backend, name: str, settings: TeacherSettings
) -> Teacher:
    """The teacher itself, or the same one on every worker of a cluster.

    Args:
        config: that names the engine.
        teacher: not entered.
        backend: that made it.
        name: of the backend.
        settings: that it was made from.

    Raises:
        TeacherError: the engine is not installed.
    """
    if config.engine == "local" or not backend.signals:
        return teacher
    if find_spec("ray") is None:
        raise TeacherError(
            '--engine ray: the package ray is not installed; run: pip install "armada-distill[ray]"'
        )
    from teacher_cache.engines.ray_engine import RayTeacher

    return RayTeacher(
        teacher,
        name,
        settings,
        num_workers=config.num_workers,
        calls_a_worker=calls_a_worker(config, backend),
        gpus=config.gpus_per_worker or 0.0,
        address=config.address,
    )
