import pytest

from minicnn.commands import UsageError, toml
from minicnn.commands.arguments import parser, resolve, to_table


def test_flags_go_before_the_config_file_and_that_before_the_recipe(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('model = "lenet5"\nepochs = 3\nlr = 0.5\nbatch_size = 7\n')
    settings = resolve(["-c", str(path), "--lr", "0.25"])
    assert (settings.model, settings.epochs, settings.lr, settings.batch_size) == ("lenet5", 3, 0.25, 7)
    assert settings.opt == "adam" and settings.dataset == "digits" and settings.seed == 0


@pytest.mark.parametrize("argv", [
    "lenet5 --variant 1998 --opt sgd --momentum 0.9 --threads 2 --lr 1e-5 --name run --limit-batches 3",
    "lenet5 --no-decay-bias-bn --tensorboard --ema 0.99 --sched multistep --decay-milestones 2,4 --augment shift:1",
    "resnet20 --recipe paper --no-skip-broken --save-every 20s --patience 4 --val-split 0.25 --dataset cifar10",
    "inception_v3 --recipe paper --data-dir /a/b --on-save-error continue --dataset folder",
])  # fmt: skip
def test_the_resolved_settings_can_be_read_again(argv, tmp_path):
    settings = resolve(argv.split())
    path = tmp_path / "config.toml"
    path.write_text(toml.dumps(to_table(settings)))
    again = resolve(["-c", str(path)])
    assert to_table(again) == to_table(settings)


def test_a_variant_that_looks_like_a_number_may_be_one_in_the_file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('model = "lenet5"\nvariant = 1998\n')
    assert resolve(["-c", str(path)]).variant == "1998"


@pytest.mark.parametrize("argv, message", [
    ([], "which MODEL\\? For example lenet5"),
    (["lenet6"], "unknown model 'lenet6': did you mean 'lenet5'"),
    (["lenet5", "--variant", "1999"], "unknown variant of lenet5 '1999': did you mean '1998'"),
    (["lenet5", "--dataset", "digit"], "unknown data set 'digit': did you mean 'digits'"),
    (["lenet5", "--ephocs", "3"], "unknown flag '--ephocs': did you mean '--epochs'"),
    (["lenet5", "--epoch=3"], "unknown flag '--epoch': did you mean '--epochs'"),
    (["lenet5", "lenet5"], "one model at a time, got 'lenet5' too"),
    (["lenet5", "--epochs", "many"], "--epochs: invalid whole number value: 'many'"),
    (["lenet5", "--epochs", "-1"], "--epochs: must be at least 0, got -1"),
    (["lenet5", "-b", "0"], "--batch-size: must be at least 1, got 0"),
    (["lenet5", "--lr", "nan"], "--lr: must be from 0 to below inf, got nan"),
    (["lenet5", "--momentum", "1"], "--momentum: must be from 0 to below 1, got 1"),
    (["lenet5", "--momentum", "0.9"], "--momentum belongs to --opt sgd, nesterov and rmsprop, not to adam"),
    (["lenet5", "--opt", "nesterov", "--momentum", "0"], "--opt nesterov needs a --momentum above 0"),
    (["lenet5", "--sched", "step"], "--sched step needs --decay-epochs"),
    (["lenet5", "--sched", "plateau", "--warmup-epochs", "1"], "--warmup-epochs does not go with --sched plateau"),
    (["lenet5", "--sched", "multistep"], "--sched multistep needs --decay-milestones"),
    (["lenet5", "--sched", "none", "--power", "2"], "--power belongs to --sched polynomial, not to none"),
    (["lenet5", "--decay-milestones", "3,2"], "--decay-milestones: must rise from each to the next, got '3,2'"),
    (["lenet5", "--decay-milestones", "x"], "--decay-milestones: must be epochs such as 30,60,80, got 'x'"),
    (["lenet5", "--save-every", "2m"], "--save-every: must be a number of epochs, as 2, or of steps, as 200s"),
    (["lenet5", "--recipe", "large"], "--recipe: invalid choice: 'large'"),
    (["vgg16_inception_resnet", "--recipe", "paper"], "vgg16_inception_resnet has no paper with a recipe"),
    (["lenet5", "--opt", "adamax"], "--opt: invalid choice: 'adamax'"),
    (["lenet5", "--device", "tpu"], "--device: must be cpu, gpu, gpu:N or auto, got 'tpu'"),
    (["lenet5", "--name", "../elsewhere"], "--name: must be a folder's name without a path, got '../elsewhere'"),
    (["lenet5", "--seed"], "--seed: expected one argument"),
])  # fmt: skip
def test_usage_errors(argv, message):
    with pytest.raises(UsageError, match=message):
        resolve(argv)


@pytest.mark.parametrize("text, message", [
    ("epoch = 3", r"config\.toml: unknown setting 'epoch': did you mean 'epochs'"),
    ("epochs = 'many'", r"config\.toml: .*--epochs: invalid whole number value: 'many'"),
    ("epochs = [3]", r"config\.toml: .*--epochs: invalid whole number value"),
    ("quiet = true", r"config\.toml: unknown setting 'quiet'"),
    ("config = 'other.toml'", r"config\.toml: unknown setting 'config'"),
    ("epochs 3", r"config\.toml is not TOML"),
    ("model = 'lenet6'", "unknown model 'lenet6'"),
])  # fmt: skip
def test_bad_config_files(tmp_path, text, message):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        resolve(["-c", str(path)])


def test_help_fits_eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = parser().format_help()
    assert max(map(len, text.splitlines())) <= 80
    for flag in ("--dataset", "--batch-size", "--device", "--limit-batches", "--resume", "--recipe", "--augment"):
        assert flag in text
