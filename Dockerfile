# The service's image: one static program on nothing else. No shell, no package manager, no root.
#
#   docker build .                 a release: the program is built here, in a container, with cargo's caches mounted
#   docker build --target host …   development on Linux: the context is this file and the program that the host's cargo
#                                  built, named `service.bin`; `cargo xtask dev` does so within a second
#
# `--build-arg PACKAGE=NAME` builds another package of the workspace, whose program becomes /service all the same.
#
# Both share the stage `runtime`, so they differ in the program alone. The order of the stages matters: the engine's
# plain builder, which knows no cache mounts, stops at `host` before it meets one. amd64 and arm64, each built on its own
# kind of machine or under emulation.
ARG RUST_IMAGE=rust:1.95-slim-trixie

FROM scratch AS runtime
ARG VERSION=dev
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="homeport service" \
      org.opencontainers.image.description="The application: a Rocket service on Postgres and Redis" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# By number: there is no /etc/passwd to look a name up in, and Kubernetes' runAsNonRoot wants to see that it is not 0.
USER 1000:1000
EXPOSE 8000
# The program asks itself: there is no curl. Compose has an interval of its own; this one is for a plain `docker run`.
HEALTHCHECK --interval=5s --timeout=2s --start-period=15s --retries=3 CMD ["/service", "health"]
ENTRYPOINT ["/service"]
CMD ["serve"]

FROM runtime AS host
COPY service.bin /service

FROM ${RUST_IMAGE} AS build
# Set by BuildKit; without it the machine's own.
ARG TARGETARCH
# The package and its program, which have one name; `x-homeport.package` in compose.yaml.
ARG PACKAGE=service
ENV CARGO_HOME=/usr/local/cargo CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never
WORKDIR /src
# The task runner is a member of the workspace, so cargo wants its manifest and sources; it is not built.
COPY . .
# Static: the image has no libc. Paths are replaced, so that the same sources give the same program everywhere. A target
# is named because without one cargo would apply the flags to procedural macros too, which cannot be static.
# Cargo judges by time stamps, and those of an older checkout would hide a change from the mounted cache: hence `touch`.
#
# A site whose proxy signs with an authority of its own gives its certificates as the secret `ca`: docker build --secret
# id=ca,src=/etc/ssl/certs/ca-certificates.crt . The task runner sends those that CARGO_HTTP_CAINFO or SSL_CERT_FILE
# names as `.certificates.pem`. Either way none is in the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    --mount=type=secret,id=ca,required=false \
    set -eu; \
    for ca in /run/secrets/ca /src/.certificates.pem; do if [ -s "$ca" ]; then export CARGO_HTTP_CAINFO="$ca"; fi; done; \
    case "${TARGETARCH:-$(uname -m)}" in \
      amd64 | x86_64) triple=x86_64-unknown-linux-gnu ;; \
      arm64 | aarch64) triple=aarch64-unknown-linux-gnu ;; \
      *) echo "no target for ${TARGETARCH:-$(uname -m)}: amd64 and arm64 are built" >&2; exit 1 ;; \
    esac; \
    find . -path ./target -prune -o -type f -exec touch '{}' +; \
    export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=${CARGO_HOME}=/cargo"; \
    cargo build --locked --release --package "$PACKAGE" --target "$triple"; \
    install -D "target/$triple/release/$PACKAGE" /out/service

FROM runtime AS release
COPY --from=build /out/service /service
