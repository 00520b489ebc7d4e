# The environment of requirements.lock, for machines without a Python; the clone stays outside:
#   docker build -t finicky .
#   docker run --rm -v "$PWD":/work finicky snakemake --cores all
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /work
COPY requirements.lock /opt/
RUN pip install --no-cache-dir --require-hashes -r /opt/requirements.lock
ENV PYTHONUTF8=1 MPLCONFIGDIR=/tmp XDG_CACHE_HOME=/tmp
WORKDIR /work
CMD ["snakemake", "--cores", "all"]
