"""The operations of the speech teacher's networks are counted from what onnxruntime says of a node."""

import pytest

from benchmarks.speech_rates import operations_of


@pytest.mark.parametrize(
    ("name", "inputs", "output", "wanted"),
    [
        ("Conv", [[1, 8, 10], [4, 2, 3], [4]], [1, 4, 10], 2 * 4 * 10 * 2 * 3),
        ("MatMul", [[1, 5, 7], [7, 3]], [1, 5, 3], 2 * 5 * 3 * 7),
        ("DynamicQuantizeMatMul", [[1, 5, 7], [], []], [1, 5, 3], 2 * 5 * 3 * 7),
        ("Softmax", [[1, 5, 7]], [1, 5, 7], 0),
    ],
)
def test_a_node_counts_what_it_multiplies(
    name: str, inputs: list[list[int]], output: list[int], wanted: float
) -> None:
    node = {
        "op_name": name,
        "input_type_shape": [{"float": shape} for shape in inputs],
        "output_type_shape": [{"float": output}],
    }
    assert operations_of(node) == wanted
