"""Which teacher a name of `transformers:` means: a model that reads, or an encoder of pictures alone."""

from typing import TYPE_CHECKING

from teacher_cache.teachers.teacher import TeacherSettings

if TYPE_CHECKING:
    from teacher_cache.teachers.local.model import LocalModelTeacher
    from teacher_cache.teachers.local.vision import VisionTeacher


def make_local_teacher(settings: TeacherSettings) -> "LocalModelTeacher | VisionTeacher":
    """A folder whose configuration is of an encoder of pictures is asked about pictures, others about texts.

    Raises:
        ConfigError: an option or a signal that the model cannot have.
        TeacherError: there is no such folder, or no model in it that can be asked.
    """
    from teacher_cache.teachers.local.folder import find_model

    folder = find_model(settings.name, settings.options.get("revision"))
    if sees_alone(str(folder.json("config.json").get("model_type"))):
        from teacher_cache.teachers.local.vision import VisionTeacher

        return VisionTeacher(settings)
    from teacher_cache.teachers.local.model import LocalModelTeacher

    return LocalModelTeacher(settings)


def sees_alone(model_type: str) -> bool:
    """Whether models of a type make one vector of a picture, and write nothing."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    )

    writes = {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES}
    sees = {*MODEL_FOR_IMAGE_MAPPING_NAMES, *MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES}
    # The tower of a model with two, saved alone.
    return model_type.endswith("_vision_model") or model_type in sees - writes
