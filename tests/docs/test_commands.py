"""Every command that a page shows is run by a test or a script, or is checked here against what would run it."""

import ast
import functools
import re
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

import train
from hashhuman.checks.ranges import check_ranges
from hashhuman.cli import arguments, commands, job_folders
from hashhuman.cli.sweep_values import check_sweep
from tests.docs.pages import PAGES, ROOT, Command, commands_of, options_of

CONF = ROOT / "conf"
RUN_BY = {  # what a test runs as it stands
    "pip install --editable": "tests/test_extending.py",
    'eval "$(python train.py -sc install=bash)"': "tests/docs/test_completion.py",
    "python -m hashhuman.cli.ddp_worker": "tests/hashhuman/training/test_ddp.py",
}
NOT_RUN = {  # what no test can run, and why
    "conda env create -f environment.yml": "no conda here; tests/test_packaging.py reads the file",
    "ssh -L 8080:localhost:8080 MACHINE": "another machine",
    "wandb sync": "an account",
    "source .venv/bin/activate": "the shell's own",
}
HYDRAS = {"hydra/launcher=basic", "hydra.searchpath=[...]"}  # options that Hydra brings
COMMANDS = sorted({command.text: command for page in PAGES for command in commands_of(page)}.values(), key=str)
OPTIONS = sorted({option for page in PAGES for option in options_of(page)})


@pytest.fixture(scope="module", autouse=True)
def _resolvers():
    train.register_resolvers()
    OmegaConf.register_new_resolver("job_folder", job_folders.job_folder, replace=True)
    OmegaConf.register_new_resolver("help_text", lambda *_: "", replace=True)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.text)
def test_a_command_would_be_understood(command: Command):
    check_of(command)(command)


def check_of(command: Command) -> Callable[[Command], None]:
    """How a command is checked. Fails for one that nothing covers."""
    if command.page == "docs/extending.md":
        return run_by_extending
    if command.text in RUN_BY:
        return run_by_a_test
    if command.text in NOT_RUN:
        return not_run
    match command.words:
        case ["python", *words] if calls_hydra(script_of(words)[0]):
            return composed
        case ["python", "-m", "hashhuman", *_] | ["hashhuman", *_]:
            return parsed
        case ["python", *_]:
            return options_known
        case ["pip", "install", *_]:
            return extras_there
        case ["make", _]:
            return target_there
    pytest.fail(f"{command.page}: nothing runs or checks `{command.text}`")


def run_by_extending(command: Command) -> None:
    """The test takes all commands of that page from its blocks; others it names in words."""
    text = (ROOT / "tests/test_extending.py").read_text()
    assert '"docs/extending.md"' in text and "```bash" in text


def run_by_a_test(command: Command) -> None:
    """The test is there, and names the command or its program."""
    text = (ROOT / RUN_BY[command.text]).read_text()
    assert command.text in text or command.words[-1].rpartition(".")[2] in text, (
        f"{RUN_BY[command.text]} does not run `{command.text}`"
    )


def not_run(command: Command) -> None:
    """It is no program of this project."""
    assert command.words[0] in ("conda", "ssh", "wandb", "source")


def target_there(command: Command) -> None:
    """Make knows what it would do."""
    subprocess.run(["make", "--dry-run", "--directory", ROOT, command.words[1]], check=True, capture_output=True)


def composed(command: Command) -> None:
    """A program of Hydra: its config is composed with the words of the command, and its numbers are checked."""
    script, words = script_of(command.words[1:])
    (call,) = calls_hydra(script)
    given_to = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg != "result"}
    name, path_option = given_to["config_name"], given_to["path_option"]
    values = {i + 1 for i, word in enumerate(words) if word in ("--cfg", "-c", "-sc")}
    bare = [word for i, word in enumerate(words) if i not in values and "=" not in word and word[0] not in "-~"]
    if given_to.get("several_paths") and bare:
        paths = [f"{path_option}=[{','.join(repr(word) for word in bare)}]"]
    else:
        paths = [f"{path_option}={word}" for word in bare]
    typed = arguments.prepared([*(word for word in words if word not in bare), *paths], path_option)
    given = get_args_parser().parse_args(typed)
    if given.multirun:
        check_sweep(CONF, name, typed)
        return
    with initialize_config_dir(str(CONF), version_base="1.3"):
        check_ranges(compose(name, given.overrides))


def parsed(command: Command) -> None:
    """The console command `hashhuman`: its parser takes the words."""
    words = command.words[1:] if command.words[0] == "hashhuman" else command.words[3:]
    with pytest.raises(SystemExit) as ended:
        commands.main([*words, "--help"])
    assert ended.value.code == 0
    known = strings(ROOT / "src/hashhuman/cli/commands.py")
    assert {word for word in words if word.startswith("--")} <= known and words[0] in known


def options_known(command: Command) -> None:
    """A script: it exists, and its source names every option and every subcommand; options behind `--` are Hydra's."""
    script, words = script_of(command.words[1:])
    own = words[: words.index("--")] if "--" in words else words
    known = strings(script)
    assert {word.partition("=")[0] for word in own if word.startswith("--")} <= known
    assert len(command.words) == 2 or "parse_args" in script.read_text() or "sys.argv" in script.read_text()


def extras_there(command: Command) -> None:
    """Installs this project with extras that it has, or names packages of the extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in command.words[2:]:
        named = re.fullmatch(r"(?:\.|hashhuman)(?:\[([\w,]+)\])?", word)
        assert word in ("-e", "--editable") or named, f"{command.page}: {word}"
        if named and named[1]:
            assert set(named[1].split(",")) <= project["optional-dependencies"].keys()


def script_of(words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """The file that `python` runs with these words, and the words for it. Fails if there is none."""
    if words[0] != "-m":
        return ROOT / words[0], words[1:]
    module = Path(*words[1].split("."))
    homes = [ROOT / "src" / module, ROOT / module]
    files = [file for home in homes for file in (home.with_suffix(".py"), home / "__main__.py") if file.exists()]
    assert files, f"there is no module {words[1]}"
    return files[0], words[2:]


def calls_hydra(script: Path) -> list[ast.Call]:
    """The calls of `hydra_main.run` in a file, all of whose arguments but the job are written out."""
    calls = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Call)]
    runs = [call for call in calls if ast.unparse(call.func) == "hydra_main.run"]
    return [call for call in runs if not any(isinstance(each.value, ast.Call) for each in call.keywords)]


@functools.cache
def strings(script: Path) -> set[str]:
    """The string constants of a file."""
    tree = ast.walk(ast.parse(script.read_text()))
    return {node.value for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_exists(option: str):
    """A group has the named option, and some config has the named key."""
    name, _, value = option.lstrip("+~").partition("=")
    if (CONF / name).is_dir() and "." not in name:
        chosen = [word for word in value.strip("[]").split(",") if re.fullmatch(r"[a-z]\w*", word)]
        assert all((CONF / name / f"{word}.yaml").exists() or option in HYDRAS for word in chosen), option
    else:
        known = keys()
        assert (
            option in HYDRAS
            or option.startswith("+")
            or any(key == name or key.startswith(f"{name}.") for key in known)
        ), option


@functools.cache
def keys() -> set[str]:
    """Every key of every config, in the place where its file belongs."""
    found: set[str] = set()
    for path in CONF.rglob("*.yaml"):
        text = path.read_text()
        root = path.parent == CONF or "# @package _global_" in text
        place = "" if root else ".".join(path.relative_to(CONF).parent.parts)
        found |= {f"{place}.{key}".lstrip(".") for key in flat(yaml.safe_load(text) or {})}
        for shared, own in re.findall(r"^  - /?([\w/]+)@([\w.]+): ", text, re.MULTILINE):
            prefix, below = own if root else f"{place}.{own}", (CONF / shared).rglob("*.yaml")
            found |= {f"{prefix}.{key}" for file in below for key in flat(yaml.safe_load(file.read_text()) or {})}
    return found


def flat(tree: object, above: str = "") -> list[str]:
    """The dotted names of the leaves of a mapping."""
    if not isinstance(tree, dict) or not tree:
        return [above.rstrip(".")]
    return [name for key, value in tree.items() for name in flat(value, f"{above}{key}.")]


@pytest.mark.parametrize(
    "text",
    [
        "python train.py vidoe=foo",
        "python train.py data=monoculor video=foo",
        "python train.py video=foo trainer.max_steps=-1",
        "python train.py -m video=foo trainer.max_steps=5,-1",
        "python -m preprocess video=foo preprocess.masks.mating=false",
        "python -m hashhuman.view runn=outputs/foo/TIME",
        "python -m hashhuman.vew run=outputs/foo/TIME",
        "hashhuman convert-smpl SMPL_NEUTRAL.pkl --output mine.npz",
        "hashhuman convert SMPL_NEUTRAL.pkl",
        "python benchmarks/animate.py RUN --motion walk.bvh",
        "python benchmarks/animat.py RUN",
        "pip install -e '.[exprt]'",
        "make dmo",
        "git push",
    ],
)
def test_a_wrong_command_is_noticed(text: str):
    command = Command("README.md", text)
    with pytest.raises(BaseException) as failure:  # of many kinds: pytest's own, Hydra's, those of files and programs
        check_of(command)(command)
    assert not isinstance(failure.value, KeyboardInterrupt)


@pytest.mark.parametrize("option", ["preprocess.gat=false", "preprocess/masks=blazepos", "animate.camera.turn=0"])
def test_a_wrong_option_is_noticed(option: str):
    with pytest.raises(AssertionError):
        test_an_option_exists(option)


def test_what_stands_on_a_page_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "Call `python a.py\nx=1`, or ``make b``, not `a.py` or `python`.\n\n"
        "```sh\n.venv/bin/python c.py \\\n  d=2  # e\n\n"
        "# f\n```\n\n```python\npython = 3\n```\n\n`a.b=3 +g/h=[i]` and `j=4` and `preprocess/GROUP=OPTION`\n"
    )
    found = list(commands_of(page))
    assert [command.text for command in found] == [".venv/bin/python c.py d=2 # e", "python a.py x=1", "make b"]
    assert found[0].words == ["python", "c.py", "d=2"] and found[0].page == "page.md"
    assert list(options_of(page)) == ["a.b=3", "+g/h=[i]"]
