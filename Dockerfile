# skyseg in a container.
#
#   docker build -t skyseg .                                   # CPU
#   docker build -t skyseg-cuda --build-arg VARIANT=cuda .     # NVIDIA GPU (run with --gpus all)
#   docker run --rm -v "$PWD:/data" skyseg predict photo.jpg
ARG PYTHON=3.12
FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE CHANGELOG.md MANIFEST.in ./
COPY skyseg_tf skyseg_tf
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:${PYTHON}-slim
ARG VARIANT=cpu
ENV PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2
WORKDIR /build
COPY requirements.txt ./
COPY --from=wheel /dist /dist
# The exact versions of requirements.txt; on a GPU also CUDA's libraries, of TensorFlow's choice.
RUN pip install --no-cache-dir -r requirements.txt \
    && if [ "$VARIANT" = cuda ]; then \
         version="$(python -c 'from importlib.metadata import version; print(version("tensorflow"))')" \
         && pip install --no-cache-dir "tensorflow[and-cuda]==$version"; \
       fi \
    && pip install --no-cache-dir --no-deps /dist/*.whl
RUN useradd --create-home --uid 1000 skyseg
USER 1000
WORKDIR /data
ENTRYPOINT ["skyseg"]
CMD ["--help"]
