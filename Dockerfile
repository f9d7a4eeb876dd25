# The node, the command line and the job image in one. The base may be any Debian-like image with Python 3.11 or
# newer; both of Docker's builders read this file.
ARG BASE_IMAGE=python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
# pip stays behind in this stage: the environment that is copied holds only what runs.
RUN python3 -m venv /opt/tools && python3 -m venv --without-pip /opt/venv
COPY locked/image.txt /src/
# The dependencies alone, by their hashes, so that a changed source does not install them again. Symbols are a third of
# their size; without strip they stay.
RUN /opt/tools/bin/pip --python /opt/venv/bin/python3 install --quiet --no-cache-dir --disable-pip-version-check \
      --only-binary :all: --no-deps --require-hashes --requirement /src/image.txt \
 && find /opt/venv -depth -type d \( -name tests -o -name test -o -name testing \) -exec rm -rf {} + \
 && find /opt/venv -type f \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' \) -delete \
 && { command -v strip >/dev/null \
      || { apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils; } >/dev/null 2>&1 || true; } \
 && { ! command -v strip >/dev/null || find /opt/venv -name '*.so*' -exec strip --strip-unneeded {} +; }
# Libraries as bytecode only, which is what they are loaded from anyway: half their size. Our own code keeps its source.
RUN /opt/venv/bin/python3 -m compileall -qb /opt/venv/lib \
 && find /opt/venv/lib -name __pycache__ -prune -exec rm -rf {} + \
 && find /opt/venv/lib -name '*.py' -delete

# The base without what a node never runs: package managers, Perl, administration, documentation. The list of packages
# stays, scanners read it.
FROM ${BASE_IMAGE} AS root
# A number, not a name, where the user is needed: an engine can then see that it is not root.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/fast --shell /usr/sbin/nologin fast \
 && install -d -o fast -g fast /var/lib/fast /opt/reports /opt/custom_extensions /opt/dsl_auths /opt/policies \
 && cd "$(python3 -c "import sysconfig; print(sysconfig.get_path('stdlib'))")" \
 && rm -rf test distutils ensurepip idlelib lib2to3 pydoc_data tkinter turtledemo config-*/*.a site-packages/* \
 && find /usr/sbin -mindepth 1 ! -name nologin -delete \
 && find / -xdev -type f -perm /6000 -delete \
 && cd /usr/share && rm -rf doc info man locale lintian bash-completion python-wheels perl* zoneinfo/right zoneinfo/posix \
 && rm -rf /usr/bin/perl* /usr/lib/*/perl* /usr/lib/*/gconv /usr/bin/apt* /usr/bin/dpkg* /usr/bin/gpgv* \
      /usr/bin/localedef /usr/lib/apt /usr/lib/*/libapt-* /usr/lib/*/libdb-* /usr/lib/*/security \
      /var/lib/apt /var/lib/dpkg/info /var/cache/* /var/log/* /tmp/*

# One layer of it, so that what was removed weighs nothing.
FROM scratch
COPY --from=root / /
COPY --from=build /opt/venv /opt/venv
COPY fastci /opt/fast/fastci
ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN printf '#!/opt/venv/bin/python3\nfrom fastci.cli import main\nmain()\n' > /usr/local/bin/fastci \
 && chmod 755 /usr/local/bin/fastci \
 && /opt/venv/bin/python3 -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'fast.pth').write_text('/opt/fast\n')" \
 && /opt/venv/bin/python3 -m compileall -q /opt/fast
LABEL org.fast-action.node=1 \
      org.opencontainers.image.title="fast-action node" \
      org.opencontainers.image.licenses=Apache-2.0
USER 10001:10001
WORKDIR /var/lib/fast
EXPOSE 8080
# Only a recording node listens; the others are as healthy as they run.
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s CMD ["/opt/venv/bin/python3", "-ISc", "import os, socket\nif os.environ.get('CI_MODE') == 'recording':\n s = socket.create_connection(('127.0.0.1', int(os.environ.get('FAST_LISTEN', '').rpartition(':')[2] or 8080)), 3)\n s.sendall(b'GET /health HTTP/1.0\\r\\n\\r\\n')\n assert b' 200 ' in s.recv(64)"]
# No entry point: job images are started with a shell of the CI's own.
CMD ["fastci", "node"]
