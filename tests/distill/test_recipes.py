"""The hyperparameters of the paper's section 4, by task."""

import pytest

from distill.recipes import PAPER, RECIPES, recipe_for
from schemas.tasks import TASKS, LabelKind


@pytest.mark.parametrize(
    ("task", "epochs", "batch_size", "lr", "aligner_lr"),
    [
        ("glue/cola", 10, 32, 2e-5, 3e-3),
        ("glue/mnli", 10, 32, 2e-5, 3e-3),
        ("superglue/copa", 10, 8, 2e-5, 1e-3),
        ("mm-imdb", 20, 32, 2e-5, 3e-3),
        ("hateful-memes", 10, 32, 2e-5, 3e-3),
    ],
)
def test_classes_and_numbers(task: str, epochs: int, batch_size: int, lr: float, aligner_lr: float) -> None:
    recipe = recipe_for(task)

    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.aligner_lr) == (
        epochs,
        batch_size,
        lr,
        aligner_lr,
    )
    assert (recipe.alpha, recipe.beta, recipe.gamma, recipe.temperature) == (0.5, 1.0, 1.0, 5.0)


@pytest.mark.parametrize("task", ["reasoning/hellaswag", "reasoning/math", "instructions/all"])
def test_texts_with_an_adapter_are_learnt_as_llama_is(task: str) -> None:
    recipe = recipe_for(task, lora=True)

    assert (recipe.epochs, recipe.batch_size, recipe.lr) == (3, 4, 3e-4)


def test_a_worked_answer_has_room() -> None:
    tokens = {task: recipe_for(task).max_new_tokens for task in TASKS if task.startswith("reasoning/")}

    assert {task for task, most in tokens.items() if most == 256} == {
        "reasoning/math",
        "reasoning/multiarith",
        "reasoning/singleeq",
        "reasoning/aqua",
    }
    assert {most for task, most in tokens.items()} == {32, 256}


def test_every_task_that_can_be_learnt_has_a_recipe_and_those_that_write_say_how_much() -> None:
    for task in TASKS.values():
        recipe = recipe_for(task.name)
        assert task.label_kind is LabelKind.NONE or recipe in RECIPES.values()
        assert (recipe.max_new_tokens is not None) is (task.label_kind is LabelKind.GENERATIVE)
    assert recipe_for("no-such-task") == PAPER
