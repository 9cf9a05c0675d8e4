# The base of all images here: what python:3.X-slim has, with a file of its own so that no cache fits.
ARG BASE
FROM ${BASE}
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
RUN python3 -m pip --version || \
    (apt-get update && apt-get install -y --no-install-recommends python3-pip python3-venv)
COPY ca.crt /etc/ssl/certs/ca-certificates.crt
RUN --mount=type=secret,id=pip.conf PIP_CONFIG_FILE=/run/secrets/pip.conf \
    python3 -m pip install --no-cache-dir --break-system-packages uv
COPY unique /etc/fnpack-bench
ARG LABEL
LABEL fnpack.bench=${LABEL}
