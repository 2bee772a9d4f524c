import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.training.recipe import make_recipe


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 3, "rate": 1}, r"rate: unknown field 'rate'; known are accumulation, .*learning_rate"),
        ({"steps": 3, "lora": {"rank": 4}}, r"lora\.rank: unknown field 'rank'; known are alpha, dropout, r"),
        ({"steps": 0}, r"steps: .*greater than or equal to 1; found 0"),
        ({"steps": 3, "epochs": 1}, "give steps or epochs"),
        ({}, "give steps or epochs"),
        ({"steps": 3, "schedule": "step"}, r"schedule: .*'cosine'"),
        ({"steps": 3, "warmup": 1.0}, "warmup"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(fields, message):
    with pytest.raises(DuetError, match=message):
        make_recipe(**fields)


@given(st.integers(1, 500), st.integers(1, 8), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_an_epoch_is_every_whole_batch_once(conversations, batch_size, accumulation, processes, epochs):
    recipe = make_recipe(epochs=epochs, batch_size=batch_size, accumulation=accumulation)
    batches = conversations // (batch_size * processes)
    if batches == 0:
        with pytest.raises(DuetError, match="fill no batch"):
            recipe.total_steps(conversations, processes)
    else:
        steps = recipe.total_steps(conversations, processes)
        assert (steps - epochs) * accumulation < epochs * batches <= steps * accumulation
