# Steep for processors (`cpu`), for NVIDIA GPUs (`cuda`), and with the embedded model inside (`demo`):
#
#     docker build --target cpu -t steep:cpu .
#
# docs/docker.md says how to run them. No CUDA base image is needed: the packages of PyTorch bring the
# CUDA libraries, and the driver comes from the host.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
RUN pip install --no-cache-dir --root-user-action=ignore build==1.6.1
COPY . .
RUN python -m build --wheel --outdir /dist

FROM python:${PYTHON}-slim AS base
RUN pip install --no-cache-dir --root-user-action=ignore uv==0.13.9
# Any user may run it (`docker run --user`): these folders are open, and PyTorch finds a user name.
ENV HF_HOME=/var/cache/huggingface \
    HOME=/home/steep \
    PYTHONUNBUFFERED=1 \
    STEEP_CACHE=/var/cache/steep \
    USER=steep
RUN useradd --uid 1000 --create-home steep \
    && mkdir -p /work "$HF_HOME" "$STEEP_CACHE" \
    && chmod 1777 /work "$HOME" "$HF_HOME" "$STEEP_CACHE"
WORKDIR /work
ENTRYPOINT ["steep"]
CMD ["--help"]
ARG TORCH=2.13.0
# Extras beside `train`, with commas between them.
ARG EXTRAS=documents,rag
COPY constraints.txt /constraints.txt

# PyTorch first: changes of the code rebuild only what follows it.
FROM base AS cuda
RUN uv pip install --system --no-cache "torch==${TORCH}"
COPY --from=wheel /dist /dist
RUN uv pip install --system --no-cache --constraint /constraints.txt \
    "$(echo /dist/*.whl)[train,${EXTRAS}]"
USER 1000

FROM base AS cpu
RUN uv pip install --system --no-cache --torch-backend cpu "torch==${TORCH}"
COPY --from=wheel /dist /dist
RUN uv pip install --system --no-cache --constraint /constraints.txt \
    "$(echo /dist/*.whl)[train,${EXTRAS}]"
USER 1000

FROM cpu AS demo
RUN python -c "from steep.llm.model_names import embedded_directory; embedded_directory()"
