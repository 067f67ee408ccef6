import numpy as np
import pytest

from skyseg_tf.build import BuildConfig, build
from skyseg_tf.data.augment.camera import augment, make_augment
from skyseg_tf.data.augment.mixing import make_mix
from skyseg_tf.data.augment.settings import Classes
from skyseg_tf.data.pipeline import make_dataset
from skyseg_tf.data.records import STORAGES, read_manifest
from skyseg_tf.errors import InputError


def epoch(records, **options):
    batches = list(make_dataset(records, "train", 4, **options))
    return [image.numpy() for image, _ in batches], [mask.numpy() for _, mask in batches]


def same(a, b):
    return all(
        np.array_equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)
    )


@pytest.mark.parametrize("augmentation", [None, augment])
def test_an_epoch_follows_from_its_seed(records, augmentation):
    options = {"shuffle": True, "augment": augmentation}
    first = epoch(records, seed=1, epoch=0, **options)
    assert same(first, epoch(records, seed=1, epoch=0, **options))
    assert not same(first, epoch(records, seed=1, epoch=1, **options))
    assert not same(first, epoch(records, seed=2, epoch=0, **options))


def test_every_record_comes_once(records):
    plain = np.concatenate(epoch(records)[0])
    shuffled = np.concatenate(epoch(records, shuffle=True, seed=5)[0])
    assert len(plain) == read_manifest(records).splits["train"].count
    key = lambda images: sorted(image.tobytes() for image in images)  # noqa: E731
    assert key(plain) == key(shuffled)


def test_skipped_batches_are_the_first_ones(records):
    options = {"shuffle": True, "seed": 3, "augment": augment, "mix": make_mix("strong", 1)}
    whole, rest = epoch(records, **options), epoch(records, skip_batches=2, **options)
    assert same([part[2:] for part in whole], rest)


def test_one_batch_at_least_is_left_of_what_is_skipped(records):
    whole = epoch(records)
    for skipped in (len(whole[0]) - 1, 99):
        assert same([part[-1:] for part in whole], epoch(records, skip_batches=skipped))


def test_all_storages_stream_the_same_pairs(tree, tmp_path):
    streams = {}
    effects = {"augment": make_augment("strong", Classes(sky=1)), "mix": make_mix("strong", 1)}
    for storage in STORAGES:
        out = tmp_path / storage
        build(BuildConfig(out=out, source=tree, image_size=(32, 64), storage=storage, quiet=True))
        streams[storage] = [epoch(out), epoch(out, seed=7, **effects)]
    for storage in ("uint8", "png"):
        for plain_or_augmented in range(2):
            assert same(
                streams[storage][plain_or_augmented], streams["normalized"][plain_or_augmented]
            )
    assert not same(*streams["uint8"])
    assert np.concatenate(streams["jpeg"][0][0]).shape[1:] == (32, 64, 3)


def test_drop_remainder_and_its_error(records):
    count = read_manifest(records).splits["train"].count
    dataset = make_dataset(records, "train", 5, drop_remainder=True)
    assert int(dataset.cardinality()) == count // 5 == len(list(dataset))
    with pytest.raises(InputError, match=f"fewer than one batch of 99; use --batch-size {count}"):
        make_dataset(records, "train", 99, drop_remainder=True)
    with pytest.raises(InputError, match="no split 'test': there are train, val"):
        make_dataset(records, "test", 1)


def test_clips_stream_and_augment_alike(tree, tmp_path):
    out = tmp_path / "clips"
    build(BuildConfig(out=out, source=tree, image_size=(32, 64), frames=2, quiet=True))
    images, masks = next(iter(make_dataset(out, "train", 3, augment=augment)))
    assert images.shape == (3, 2, 32, 64, 3)
    assert masks.shape == (3, 32, 64)


def test_masks_keep_the_classes_asked_for(records):
    (images, masks), (same_images, kept) = epoch(records), epoch(records, classes=[1])
    assert same([images], [same_images])
    masks, kept = np.concatenate(masks), np.concatenate(kept)
    assert (masks == 0).any()
    assert kept.dtype == np.uint8
    assert np.array_equal(kept, np.where(masks == 1, 1, 255))
