"""Says where the time of an update goes, by what the compiled program is made of.

    python -m benchmarks.profile > benchmarks/profile.txt

TensorFlow's profiler records the parts of the compiled updates (XLA's thunks) over an epoch of
settings of `against_official` and `training_speed`: of those whose row falls short, or of `--only`.
Recording slows the parts down, most of all the short ones: shares count, not times.
"""

import argparse
import collections
import os
import tempfile
from pathlib import Path

SHOWN = 24
SHORT = ("H100 B100, 2048 extra", "H100 B512, 2048 extra", "H500 B100, 2048 extra")


def epochs():
    """Name -> a function that trains an epoch, after one that compiles."""
    from benchmarks import training_speed
    from benchmarks.against_official import CONFIGS, compiled_model, log
    from hrec_tf.data.lanes import session_parallel_stream

    def official(name):
        train = log()
        model = compiled_model(name, train)
        return model, session_parallel_stream(train, num_lanes=CONFIGS[name][1])

    def simulated(name):
        model, stream, loss, negatives = training_speed.cases()[name]()
        return training_speed.compiled(model, loss, negatives), stream

    made = {name: (official, name) for name in CONFIGS}
    for model in ("GRU4Rec", "HRNN Init"):
        for steps in (1, 10):
            name = f"{model}{training_speed.at(steps)}"
            made[name] = simulated, name
    return made


def parts_of(folder: str) -> collections.Counter:
    """Nanoseconds of each part that the profiler has seen."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    spent: collections.Counter = collections.Counter()
    for path in Path(folder).rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(path.read_bytes())
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    name = plane.event_metadata[event.metadata_id].name
                    spent[name] += event.duration_ps // 1000
    return spent


def main(arguments: list[str] | None = None) -> None:
    import tensorflow as tf

    from benchmarks.performance import machine

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", help="names of settings")
    options = parser.parse_args(arguments)
    print(f"python -m benchmarks.profile > benchmarks/profile.txt\n\n{machine()}")
    settings = epochs()
    short = [*SHORT, *(name for name in settings if name.startswith("HRNN Init"))]
    for name in options.only or short:
        make, setting = settings[name]
        model, stream = make(setting)
        model.fit(stream, epochs=1, verbose=0)
        with tempfile.TemporaryDirectory() as folder:
            level = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)
            tf.profiler.experimental.start(folder, level)
            speed = model.fit(stream, epochs=1, verbose=0).history["events_per_second"][0]
            tf.profiler.experimental.stop()
            spent = parts_of(folder)
        print(f"\n{name}: {speed:,.0f} pairs per second while recorded\n")
        for part, nanoseconds in spent.most_common(SHOWN):
            print(f"  {nanoseconds / 1e6:10.1f} ms  {part[:150]}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
