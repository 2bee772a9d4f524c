"""Configs that ship, and what is wrong with others. The large ones are checked, not run."""

import json
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from mmduet.checkpoints import PRESETS
from mmduet.checkpoints.presets import check_base
from mmduet.errors import DuetError
from mmduet.training.config import CONFIGS, find_config, read_config, run_config

LAUNCH = {path.stem: path for path in CONFIGS.glob("accelerate_*.yaml")}
RUNS = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem not in LAUNCH)


@pytest.mark.parametrize("name", RUNS)
def test_a_config_that_ships_is_in_order_and_says_how_to_run_it(name):
    read_config(name)
    assert f"mmduet train {name}" in find_config(name).read_text()


def test_the_published_run_is_the_published_run():
    """The paper and scripts/train.sh: one epoch, batch 1 x 16, 2e-5 for everything, LoRA r 16."""
    config = read_config("mmduet_7b")
    recipe = config.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.accumulation) == (1, 1, 16)
    assert {recipe.learning_rate, recipe.projector_learning_rate, recipe.head_learning_rate} == {2e-5}
    assert (recipe.schedule, recipe.warmup, recipe.max_grad_norm, recipe.weight_decay) == ("cosine", 0.05, 1.0, 0.0)
    assert recipe.lora.model_dump() == {"r": 16, "alpha": 32, "dropout": 0.05}
    assert (recipe.bf16, recipe.gradient_checkpointing, recipe.align_iterations) == (True, True, 0)
    assert (recipe.loss_mean, recipe.group_by_length, recipe.video_loss_weight) == ("example", False, 1.0)
    assert (recipe.save_every, recipe.keep_checkpoints, recipe.log_every, recipe.workers) == (500, 5, 10, 4)
    assert recipe.total_steps(108_589, 8) == 849


def test_zero2_takes_what_the_recipe_says():
    launch = load_config_from_file(str(LAUNCH["accelerate_zero2"]))
    path = Path(__file__).parents[2] / launch.deepspeed_config["deepspeed_config_file"]
    settings = json.loads(path.read_text())
    assert settings["zero_optimization"]["stage"] == 2
    assert "optimizer" not in settings, "the rates by part are the trainer's own"
    for name in ("gradient_accumulation_steps", "gradient_clipping", "train_micro_batch_size_per_gpu"):
        assert settings[name] == "auto"
    assert settings["bf16"] == {"enabled": "auto"}


def test_fsdp_wraps_the_layers_of_the_published_language_model():
    from transformers.models.qwen2 import modeling_qwen2

    launch = load_config_from_file(str(LAUNCH["accelerate_fsdp"]))
    assert hasattr(modeling_qwen2, launch.fsdp_config["fsdp_transformer_layer_cls_to_wrap"])
    assert not launch.fsdp_config["fsdp_activation_checkpointing"], "the recipe's gradient_checkpointing does it"
    assert launch.mixed_precision == "bf16"


GOOD = """
output: out
model: {base: tiny}
data: {train: train.json}
recipe: {steps: 3}
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("base: tiny", "bass: tiny"), r"model\.bass: unknown field 'bass'; known are attn_implementation, base, d"),
        (("steps: 3", "steps: 3, lora: {rank: 2}"), r"recipe\.lora\.rank: unknown field 'rank'; known are alpha"),
        (("output: out", "outputs: out"), r"outputs: unknown field 'outputs'; known are data, features, model, output"),
        (("output: out", ""), r"output: missing"),
        (("steps: 3", "steps: none"), r"recipe\.steps: .*found 'none'"),
        (("{steps: 3}", "{}"), r"recipe: give steps or epochs"),
        (("data: {", "features: {folder: f, limit: 2}\ndata: {"), r"features\.limit: unknown .* folder, limit_gb"),
        (("recipe:", "recipe: ["), r"no readable YAML"),
        ((GOOD, "[]"), r"the config: "),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path, change, message):
    path = tmp_path / "run.yaml"
    path.write_text(GOOD)
    read_config(path)
    path.write_text(GOOD.replace(*change))
    with pytest.raises(DuetError, match=rf"run\.yaml.*{message}"):
        read_config(path)


@pytest.mark.parametrize("base", PRESETS)
def test_a_base_with_an_adapter_of_its_own_is_refused_before_any_work(tmp_path, base):
    """The adapter would be of another model than the base that it names. The mixture does not even exist."""
    if PRESETS[base].adapter is None:
        check_base(base)
        return
    (tmp_path / "run.yaml").write_text(GOOD.replace("tiny", base))
    with pytest.raises(DuetError, match=rf"base: {base} has an adapter of its own.*`mmduet convert {base} FOLDER`"):
        run_config(read_config(tmp_path / "run.yaml"))


def test_the_preset_without_the_adapter_is_named():
    with pytest.raises(DuetError, match=r"train mini-base, or write"):
        check_base("mini")


def test_an_unknown_config_is_named(tmp_path):
    with pytest.raises(
        DuetError,
        match=r"scenes is no file and no config that ships \(mini_world, mmduet_7b, mmduet_qwen, scenes_mini\)",
    ):
        read_config("scenes")
