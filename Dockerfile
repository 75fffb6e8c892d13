# The application as an image: built from source, run by a user without rights, without a shell's worth of extras.

FROM rust:1.95-slim-trixie AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin gencharge && cp target/release/gencharge /gencharge

FROM debian:trixie-slim
# curl: for the health check. The databases run elsewhere: no PostgreSQL in here.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/gencharge gencharge
COPY --from=build /gencharge /usr/local/bin/gencharge
USER gencharge
WORKDIR /var/lib/gencharge
ENV GENCHARGE_BIND=0.0.0.0:8000 GENCHARGE_DATA_DIR=/var/lib/gencharge/data
VOLUME /var/lib/gencharge
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD curl -fsS http://127.0.0.1:8000/readyz || exit 1
ENTRYPOINT ["gencharge"]
CMD ["serve"]
