# syntax=docker/dockerfile:1
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
# What is installed is what was locked, hash by hash; `make lock` renews it.
COPY requirements.lock ./
RUN python -m venv /opt/pullback \
 && /opt/pullback/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
# .dockerignore leaves daemon/sandbox out: the image has no demo and no test tool.
COPY daemon ./daemon
RUN /opt/pullback/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
 && /opt/pullback/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pullback" \
      org.opencontainers.image.description="Pulls a canary's traffic back to 0% when an alert says it hurts users" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/pullback /opt/pullback
ENV PATH=/opt/pullback/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Any uid works: nothing is written to the file system, which may be read-only.
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["pullback"]
CMD ["serve"]
