FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements/setup.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/setup.txt \
    && python -m venv --without-pip /opt/sacbe \
    && VIRTUAL_ENV=/opt/sacbe /opt/build/bin/uv pip sync --require-hashes --compile-bytecode \
        requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY trust trust
COPY catalog catalog
COPY node node
COPY adapters adapters
COPY config config
COPY scripts scripts
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheels . \
    && VIRTUAL_ENV=/opt/sacbe /opt/build/bin/uv pip install --no-deps --compile-bytecode /wheels/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/sacbe --create-home sacbe
COPY --from=build /opt/sacbe /opt/sacbe
# The root file system may be read-only: state is in PostgreSQL, keys and spool in these volumes.
VOLUME ["/var/lib/sacbe", "/tmp"]
USER 10001
WORKDIR /var/lib/sacbe
ENV PATH=/opt/sacbe/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
EXPOSE 8080 8443 5500 5577 4000
ENTRYPOINT ["sacbe"]
CMD ["node", "run", "--config", "/etc/sacbe/node.toml"]
