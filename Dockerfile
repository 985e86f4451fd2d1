# Builds the image: one static binary, CA roots, a user without rights, notices and an SBOM.
# scripts/image.sh gives the arguments; docker build . works without them, as version dev.
ARG GO_IMAGE=golang:1.26
ARG BASE=scratch

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY test/tools/sbom/ test/tools/sbom/
RUN go mod download && cd test/tools/sbom && go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG COMMIT
ARG DATE
ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /out/usr/local/bin/etcdsafe \
    -ldflags "-s -w -X main.releaseVersion=$VERSION -X main.releaseCommit=$COMMIT -X main.releaseDate=$DATE" ./cmd/etcdsafe
# What was linked in was downloaded for that: nothing more may come now.
RUN export GOPROXY=off && mkdir -p /out/usr/share/doc/etcdsafe && cp LICENSE /out/usr/share/doc/etcdsafe/ && \
    go run ./test/notices /out/usr/local/bin/etcdsafe > /out/usr/share/doc/etcdsafe/NOTICES && cd test/tools/sbom && \
    { go tool cyclonedx-gomod bin -json -std -licenses -noserial -notimestamp -version "$VERSION" \
    -output /out/usr/share/doc/etcdsafe/sbom.cdx.json /out/usr/local/bin/etcdsafe 2> /tmp/said || { cat /tmp/said >&2; exit 1; }; }
# The roots are Debian's ca-certificates, without any that were added to the machine.
RUN mkdir -p /out/etc/ssl/certs /out/usr/share/doc/ca-certificates /out/tmp && chmod 1777 /out/tmp && \
    cat /usr/share/ca-certificates/mozilla/*.crt > /out/etc/ssl/certs/ca-certificates.crt && \
    cp /usr/share/doc/ca-certificates/copyright /out/usr/share/doc/ca-certificates/ && \
    printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' > /out/etc/passwd && \
    printf 'root:x:0:\nnonroot:x:65532:\n' > /out/etc/group

FROM ${BASE}
COPY --from=build /out/ /
ARG VERSION=dev
ARG COMMIT
ARG DATE
LABEL org.opencontainers.image.title="etcdsafe" \
      org.opencontainers.image.description="Takes, proves, encrypts, stores, prunes and restores snapshots of etcd" \
      org.opencontainers.image.source="https://github.com/etcdsafe/etcdsafe" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.created="${DATE}"
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    ETCDSAFE_LOG_FORMAT=json
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/etcdsafe"]
