"""Overrides that make a run of train.py tiny enough for a test, on the toy or a small synthetic scene."""

# The toy has points at its corners only, so that its faces lie far from them.
TOY = (
    "deformer.skinning.reach=0.3",
    "deformer.skinning.depth=0.3",
    "neighbors.voxel=0.05",
    "neighbors.reach=0.4",
    "renderer.shell_voxel=0.1",
    "encoder.coarsest_voxel=0.3",
)
SMALL = (
    "experiment=cpu",
    "encoder.n_levels=3",
    "encoder.log2_hashmap_size=9",
    "encoder.finest_voxel=0.02",
    "field.width=16",
    "renderer.sampler.step=0.06",
    "renderer.sampler.per_bin=2",
    "renderer.occupancy.resolution=16",
    "data.ray_sampler.n_rays=256",
    "optimizer.optimizer.lr=0.03",
    "optimizer.schedule.warmup_steps=5",
    "log_every=10",
    "metrics.lpips=null",
    "eval.products.turntable=null",
    "eval.products.canonical=null",
    "eval.products.comparisons.pictures=1",
)
