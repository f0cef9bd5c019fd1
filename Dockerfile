# A static binary in an image without anything else:
#
#   docker build -t vitport .
#   docker run --rm -v "$PWD:/models" --user "$(id -u):$(id -g)" vitport convert model.pth -o my-vit
FROM rust:1.95-slim-trixie AS build
WORKDIR /source
COPY . .
# A target that is named keeps these flags from the build scripts and macros, which cannot be static.
RUN RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked -p vitport-cli --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && install -D "target/$(rustc -vV | sed -n 's/^host: //p')/release/vitport" /image/usr/local/bin/vitport \
    && install -d -m 1777 /image/tmp \
    && install -d -o 65532 -g 65532 /image/models

FROM scratch
COPY --from=build /image/ /
USER 65532:65532
ENV HF_HOME=/models/.cache/huggingface
WORKDIR /models
ENTRYPOINT ["/usr/local/bin/vitport"]
