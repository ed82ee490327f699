"""A batch of examples through vLLM's engines: prompts, requests, one answer a row."""

from collections.abc import Sequence
from threading import Event

from schemas.answer import Answer
from schemas.example import Example
from teacher_cache.teachers.local.answers import merged
from teacher_cache.teachers.local.prompts import Prompt, PromptError
from teacher_cache.teachers.vllm_engine.engine import Engine, Question, forget_engines
from teacher_cache.teachers.vllm_engine.questions import Questions


class VllmAnswers:
    """Asks loaded engines.

    Args:
        questions: makes requests of prompts.

    Attributes:
        writer: writes and scores; None where neither is stored.
        pooler: pools hidden states; None where none are stored.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self.writer: Engine | None = None
        self.pooler: Engine | None = None

    def answer(self, examples: Sequence[Example], left: Event) -> list[Answer]:
        """Answer the rows; a row whose signal failed is an error and nothing else."""
        answers: dict[str, Answer] = {}
        prompts: list[Prompt] = []
        for example in examples:
            try:
                prompts.append(self._questions.reader.read(example))
            except PromptError as error:
                answers[example.id] = Answer(error=str(error))
        if self.pooler is not None:
            self._ask(self.pooler, [self._questions.of_pooling(prompt) for prompt in prompts], answers, left)
        if self.writer is not None:
            questions = [q for prompt in prompts for q in self._questions.of_engine(prompt)]
            self._ask(self.writer, questions, answers, left)
        return [answers[example.id] for example in examples]

    def close(self) -> None:
        """Free all memory."""
        for engine in (self.writer, self.pooler):
            if engine is not None:
                engine.close()
        self.writer = self.pooler = None
        forget_engines()

    def _ask(
        self, engine: Engine, questions: Sequence[Question], answers: dict[str, Answer], left: Event
    ) -> None:
        for question, answer in engine.ask(questions, left):
            before = answers.get(question.row)
            answers[question.row] = answer if before is None else merged(before, answer)
