#!/bin/sh
# Environments of the peers that `make bench` and bench/detect_speed.py compare with, outside the repository: bench/peers.sh [DIR]  (default ../faceworks-peers)
# deepface gets the same two networks as faceworks, from our cache: its own addresses are not asked. dlib comes as a wheel (no BLAS).
set -eu
cd "$(dirname "$0")/.."
dir=${1:-../faceworks-peers}
python=${PYTHON:-python3}
ours=${OURS:-.venv/bin/python} # where faceworks runs: `make setup` makes it
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if [ ! -x "$dir/face_recognition/bin/python" ]; then
  "$python" -m venv "$dir/face_recognition"
  # its metadata asks for `dlib`, which must be compiled; dlib-bin is the same code as a wheel. pkg_resources left setuptools in version 81
  "$dir/face_recognition/bin/pip" install -q dlib-bin numpy pillow click "setuptools<81"
  "$dir/face_recognition/bin/pip" install -q --no-deps face_recognition==1.3.0 face_recognition_models==0.3.0
fi
if [ ! -x "$dir/deepface/bin/python" ]; then
  "$python" -m venv "$dir/deepface"
  "$dir/deepface/bin/pip" install -q deepface==0.0.103 werkzeug
fi
# for bench/detect_speed.py: the two packages whose MTCNN weights we run (facenet-pytorch pins an old torch, so it comes without its dependencies)
if [ ! -x "$dir/facenet/bin/python" ]; then
  "$python" -m venv "$dir/facenet"
  "$dir/facenet/bin/pip" install -q torch torchvision pillow requests tqdm numpy
  "$dir/facenet/bin/pip" install -q --no-deps facenet-pytorch==2.6.0
fi
if [ ! -x "$dir/keras/bin/python" ]; then
  "$python" -m venv "$dir/keras"
  "$dir/keras/bin/pip" install -q tensorflow-cpu mtcnn==1.0.0 joblib lz4
fi
# dlib as a wheel has no BLAS; Debian's libdlib has one, for a fair second line (apt-get install g++ libdlib-dev libopenblas-dev)
if [ ! -x "$dir/dlib-openblas/dlib_mmod" ] && [ -f /usr/include/dlib/dnn.h ]; then
  mkdir -p "$dir/dlib-openblas"
  g++ -O3 -std=c++17 -march=native -w bench/dlib_mmod.cpp -o "$dir/dlib-openblas/dlib_mmod" -ldlib -llapack -lblas -lpthread
fi
weights=$dir/home/.deepface/weights
mkdir -p "$weights"
PYTHONPATH=src "$ours" - "$weights" <<'PYTHON'
import pathlib
import shutil
import sys

import onnx

from faceworks import assets, cards
from faceworks.convert import graph

folder = pathlib.Path(sys.argv[1])
shutil.copy(assets.fetch(cards.get("yunet-2023mar-int8bq").file_for()), folder / "face_detection_yunet_2023mar.onnx")
# the graph as its authors export it, weights in fp32: what deepface downloads from the same zoo
model = onnx.load(str(assets.fetch(cards.get("sface-2021dec-int8bq").file_for())))
graph.drop_stale_inputs(model)
graph.fold_constants(model)
graph.remove_dropout(model)
graph.sweep(model)
onnx.save(model, folder / "face_recognition_sface_2021dec.onnx")
PYTHON
echo "peers are in $dir"
