"""The program `python -m hashhuman.view`: loads a finished run and shows it in the browser."""

import json
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf


def further_motions(config: DictConfig, avatar: Any, datamodule: Any) -> list[Any]:
    """The motion of `config.motion` on the avatar's body, as `python -m hashhuman.animate` makes it; none if null.

    Raises:
        UserError: if it cannot be read or carried over.
    """
    if config.motion is None:
        return []
    from hydra.utils import instantiate

    from hashhuman.checks import targets
    from hashhuman.cli.animate_run import motion_of

    name, clip = motion_of(config, Path(config.motion).expanduser(), targets.admitted(config.admit))
    return [instantiate(config.animate).motion(avatar, datamodule, name, clip)]


def view(config: DictConfig) -> None:
    """Serves the run of a config (`conf/view.yaml`) until SIGINT or SIGTERM, which end it with status 0."""
    from hydra.utils import instantiate  # only after Hydra has checked the command line: these imports take seconds

    from hashhuman.checks import targets
    from hashhuman.checks.requirements import check_requirements
    from hashhuman.checks.types import check_types
    from hashhuman.gpu.device import device_named
    from hashhuman.io import interruption
    from hashhuman.training import resume, run, run_folder, run_parts
    from hashhuman.training.manifest import Manifest
    from hashhuman.view.mesh import MeshFile
    from hashhuman.view.subject import Subject

    check_types(config.view, "view")
    check_types(config.animate, "animate")
    check_requirements(config.view)
    viewer, make_mesh = instantiate(config.view.viewer), instantiate(config.view.mesh)
    folder = Path(config.run)
    run_folder.check_links(folder)
    module, datamodule, _ = run.load(folder, run_folder.typed_changes(config), targets.admitted(config.admit))
    resume.tell_of_changed_subject(folder, datamodule.subject)
    avatar = module.avatar.to(device_named(config.device, "device"))
    motions = further_motions(config, avatar, datamodule)
    made_of = [Manifest.existing(folder).files[run_folder.CHECKPOINT], OmegaConf.to_container(config.view.mesh)]
    n_joints = len(datamodule.subject.template().joints)
    kept = MeshFile(folder / run_folder.VIEW / "mesh.npz", json.dumps(made_of), n_joints)
    mesh = make_mesh(avatar, datamodule, kept)
    run_parts.list_new(folder, run_folder.VIEW)
    subject = Subject.of(avatar, datamodule, folder.absolute().name, config.view.fps, folder / run_folder.VIEW, motions)
    try:
        with viewer.serving(subject, mesh) as address:
            print(f"{folder} is shown at {address}; Ctrl-C ends it.", flush=True)
            while True:
                time.sleep(0.2)
    except interruption.Interrupted:
        interruption.handled()
        print("The viewer has ended.", flush=True)
    finally:
        run_parts.list_new(folder, run_folder.VIEW)  # videos of camera paths
