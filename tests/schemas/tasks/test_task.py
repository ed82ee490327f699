"""What holds for every row of the table of tasks."""

import pickle

import pytest

from schemas.tasks import TASKS, TaskSpec, find_task


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_a_task_travels_to_another_process_and_is_a_key(task: TaskSpec) -> None:
    assert pickle.loads(pickle.dumps(task)) == task
    assert {task: 1}[find_task(task.name)] == 1
