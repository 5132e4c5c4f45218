"""Data: MNIST and scenes made from it on the fly; folders of images; image files."""

from mgnet_fast.data.datasets import (
    DATASETS,
    dataset_noise,
    load_dataset,
    scene_options,
    told_dataset,
)
from mgnet_fast.data.digits.idx import read_idx
from mgnet_fast.data.digits.mnist import Digits, find_mnist, load_mnist, read_digits
from mgnet_fast.data.digits.translated_mnist import (
    MNIST_MEAN,
    MNIST_STD,
    NOISE_STD,
    SCENE_SIZE,
    TEST_SEED,
    TranslatedMNIST,
    load_translated_mnist,
    place,
)
from mgnet_fast.data.folders.image_folder import FolderImages, UnreadableImagesError
from mgnet_fast.data.folders.image_transform import ImageTransform
from mgnet_fast.data.folders.image_tree import ImageTree, read_image_tree
from mgnet_fast.data.labelled_images import LabelledImages, epoch_batches

__all__ = [
    "DATASETS",
    "MNIST_MEAN",
    "MNIST_STD",
    "NOISE_STD",
    "SCENE_SIZE",
    "TEST_SEED",
    "Digits",
    "FolderImages",
    "ImageTransform",
    "ImageTree",
    "LabelledImages",
    "TranslatedMNIST",
    "UnreadableImagesError",
    "dataset_noise",
    "epoch_batches",
    "find_mnist",
    "load_dataset",
    "load_mnist",
    "load_translated_mnist",
    "place",
    "read_digits",
    "read_idx",
    "read_image_tree",
    "scene_options",
    "told_dataset",
]
