import subprocess
import sys

# Windows has no module `resource`, and no sysconf.
ROAD = """
import os, sys
sys.modules["resource"] = None
del os.sysconf
import featx

folder, out = sys.argv[1:]
images = featx.ImageDataset.open(folder, r"(p\\d+)_")
matrix = featx.extract(images, views=1, cache=out, out=f"{out}/m.h5")
model = featx.fit(matrix, "logistic", cv=2)
assert len(model.predict_proba(matrix.X)) == 24
"""


def test_the_main_road_runs_without_the_module_resource(image_folder, tmp_path):
    command = [sys.executable, "-c", ROAD, str(image_folder), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
