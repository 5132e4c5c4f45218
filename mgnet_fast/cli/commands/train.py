"""``mgnet-fast train``: train a network on digits or folders of images, also under torchrun."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from .. import console
from ..accuracy_table import accuracy_table
from ..model_choice import check_model_name, config_fields, numbers
from ..options import shared as options
from ..options import train as opts

DEFAULT_MODELS = {"folder": "mgnet_resnet18"}
DEFAULT_SCENES: dict[str, opts.DataKind] = {"tnet_toy": "cluttered-mnist-448"}
SHIPPED_WEIGHTS = "mgnet_toy"


def train(
    data: opts.Data,
    out: opts.Out = None,
    dataset: opts.Kind = None,
    model: opts.Model = None,
    backbone: opts.Backbone = None,
    mean: opts.Mean = None,
    std: opts.Std = None,
    network_fields: opts.Fields = None,
    recipe: opts.RecipeChoice = "default",
    num_glimpses: opts.NumGlimpses = None,
    glimpse_loss: opts.GlimpseLossChoice = "reference",
    antialias: opts.Antialias = None,
    noise_std: options.NoiseStd = None,
    seed: opts.Seed = 0,
    weights: opts.Weights = None,
    backbone_weights: opts.BackboneWeights = None,
    resume: opts.Resume = False,
    epochs: opts.Epochs = None,
    batch_size: opts.BatchSize = None,
    peak_lr: opts.PeakLr = None,
    weight_decay: opts.WeightDecay = None,
    alpha: opts.Alpha = None,
    gradient_scale: opts.GradientScale = None,
    gradient_scale_warmup: opts.GradientScaleWarmup = None,
    adaptive_gradient_share: opts.AdaptiveGradientShare = None,
    gradient_clip: opts.GradientClip = None,
    layer_decay: opts.LayerDecay = None,
    frozen_epochs: opts.FrozenEpochs = None,
    hide_first: opts.HideFirst = None,
    hide_first_steps: opts.HideFirstSteps = None,
    optimizer: opts.Optimizer = None,
    size_weight: opts.SizeWeight = None,
    label_smoothing: opts.LabelSmoothing = None,
    average_decay: opts.AverageDecay = None,
    image_size: opts.ImageSize = None,
    glimpse_size: opts.GlimpseSize = None,
    auto_augment: opts.AutoAugment = "auto",
    smallest_crop: opts.SmallestCrop = None,
    workers: opts.Workers = None,
    max_unreadable: opts.MaxUnreadable = opts.MAX_UNREADABLE,
    no_check: opts.NoCheck = False,
    ignore_exif: opts.IgnoreExif = False,
    threads: opts.Threads = None,
    device: opts.Device = "cpu",
    bf16: opts.Bf16 = False,
    compiled: opts.Compiled = False,
    checkpoint_glimpses: opts.CheckpointGlimpses = False,
    sync_batch_norm: opts.SyncBatchNorm = False,
    no_tensorboard: opts.NoTensorboard = False,
    quiet: opts.Quiet = False,
) -> None:
    """Train a network. --resume continues an interrupted run.

    With several processes: torchrun --nproc-per-node 2 -m mgnet_fast train ...
    """
    if model is not None and backbone is not None:
        raise typer.BadParameter("give --model or --backbone, not both", param_hint="--backbone")
    if model is not None:
        check_model_name(model, "--model")
    if backbone is not None:
        model = f"mgnet_{backbone}"
        check_model_name(model, "--backbone")
    given_fields = config_fields(network_fields or [])
    for field, text in (("mean", mean), ("std", std)):
        if text is not None:
            given_fields[field] = numbers(text, f"--{field}")
    from ...assets import antialiased_toy_checkpoint_path, toy_checkpoint_path
    from ...data import told_dataset
    from ...training import ImageOptions, antialiases, fitting_recipe, get_recipe, hides_first, run
    from ...training.run.snapshot import FILE_NAME as STATE

    kind = dataset or told_dataset(data)
    if dataset is None and kind != "folder" and model is not None:
        kind = DEFAULT_SCENES.get(model, kind)
    name = model or DEFAULT_MODELS.get(kind, "mgnet_toy")
    folder = out or Path("runs") / (data.resolve().name if kind == "folder" else kind)
    recipe_name = fitting_recipe(recipe, kind, data)
    if antialias is None and not resume:
        antialias = antialiases(recipe_name, name)
    hiding = hides_first(recipe_name, name, antialias)
    if hide_first is None:
        hide_first = hiding.get("hide_first")
    if hide_first_steps is None:
        hide_first_steps = hiding.get("hide_first_steps")
    if weights == Path(SHIPPED_WEIGHTS) and not weights.exists():
        is_published = antialias is False or (antialias is None and name == SHIPPED_WEIGHTS)
        weights = toy_checkpoint_path() if is_published else antialiased_toy_checkpoint_path()
    images = ImageOptions(
        preset=recipe_name if kind == "folder" else None,
        image_size=image_size,
        glimpse_size=glimpse_size,
        auto_augment=auto_augment,
        smallest_crop=smallest_crop,
        workers=workers,
        max_unreadable=max_unreadable,
        check=not no_check,
        ignore_exif=ignore_exif,
    )
    changed = get_recipe(
        recipe_name,
        peak_lr=peak_lr,
        weight_decay=weight_decay,
        alpha=alpha,
        gradient_scale=gradient_scale,
        gradient_scale_warmup=gradient_scale_warmup,
        adaptive_gradient_share=adaptive_gradient_share,
        gradient_clip=gradient_clip,
        layer_decay=layer_decay,
        frozen_epochs=frozen_epochs,
        hide_first=hide_first,
        hide_first_steps=hide_first_steps,
        optimizer=optimizer,
        size_weight=size_weight,
        label_smoothing=label_smoothing,
        average_decay=average_decay,
    )
    try:
        summary = run(
            data_dir=data,
            out=folder,
            dataset=kind,
            model=name,
            recipe=changed,
            epochs=epochs,
            batch_size=batch_size,
            num_glimpses=num_glimpses,
            glimpse_loss=glimpse_loss,
            antialias=antialias,
            network_fields=given_fields,
            noise_std=noise_std,
            seed=seed,
            threads=threads,
            device=device,
            precision="bf16" if bf16 else "fp32",
            compiled=compiled,
            checkpoint_glimpses=checkpoint_glimpses,
            sync_batch_norm=sync_batch_norm,
            # The default says nothing, so that a run on digits refuses what it would not use.
            images=None if images == ImageOptions() else images,
            weights=weights,
            backbone_weights=backbone_weights,
            resume=resume,
            progress=not quiet,
            tensorboard=not no_tensorboard,
        )
    except KeyboardInterrupt:
        if (folder / STATE).is_file():
            console.print_error(
                f"interrupted; finished epochs are kept in {folder}",
                hint="resume by the same command with --resume",
            )
        else:
            console.print_error(
                "interrupted before the first epoch was finished; there is nothing to resume"
            )
        raise typer.Exit(1) from None
    if os.environ.get("RANK", "0") != "0":
        return
    screen = console.output()
    minutes, seconds = divmod(round(summary.seconds), 60)
    epochs_text = f"{summary.epochs} epoch{'s' if summary.epochs > 1 else ''}"
    title = f"{name} after {epochs_text}, {minutes} min {seconds} s"
    screen.print(accuracy_table(title, summary.accuracy))
    screen.print(f"checkpoint  {summary.checkpoint}\nlog         {summary.log}", soft_wrap=True)
    console.print_next(screen, _after_training(kind, name, summary.checkpoint, data))


def _after_training(
    kind: opts.DataKind, model: str, checkpoint: Path, data: Path
) -> tuple[str, str]:
    if kind != "folder" and model == "mgnet_toy":
        return f"mgnet-fast demo --checkpoint {checkpoint}", "see where it looks"
    return (
        f"mgnet-fast eval --checkpoint {checkpoint} --data {data}",
        "its accuracy and multiply-adds",
    )
