"""Which of the two speech teachers a name means; each imports its own libraries."""

from typing import TYPE_CHECKING

from teacher_cache.teachers.teacher import TeacherSettings

if TYPE_CHECKING:
    from teacher_cache.teachers.speech.hibari import SpeechTeacher
    from teacher_cache.teachers.speech.pair import SpeechPairTeacher


def make_speech_teacher(settings: TeacherSettings) -> "SpeechTeacher | SpeechPairTeacher":
    """`hibari+MODEL` is the embedded one; two folders are SpeechT5 and an encoder of sound.

    Raises:
        ConfigError: the name is none of them.
        TeacherError: a folder is missing, or holds no such model.
    """
    voice, plus, _ = settings.name.partition("+")
    if plus and voice != "hibari":
        from teacher_cache.teachers.speech.pair import SpeechPairTeacher

        return SpeechPairTeacher(settings)
    from teacher_cache.teachers.speech.hibari import SpeechTeacher

    return SpeechTeacher(settings)
