# The controller, without FreeSWITCH:
#   docker build -t esl-controller .
#   docker run --network host --env OPENAI_API_KEY --env ESL_CONTROLLER_ESL_HOST=127.0.0.1 \
#     --env ESL_CONTROLLER_MEDIA_HOST=127.0.0.1 --env ESL_CONTROLLER_WEB_HOST=127.0.0.1 \
#     --volume esl-controller:/var/lib/esl-controller esl-controller
#
# The volume is the working directory: esl-controller.toml is read there, and esl-controller.db, the
# call record, is written there. A folder of the host in its place must belong to user 10001. Without
# --volume the record goes when the container does, unless [store] url names a server.
#
# --network host (network_mode: host in a compose file) on FreeSWITCH's machine is the simplest: the
# UDP lane then runs over 127.0.0.1 as it does without a container, and everything listens on
# loopback only. Elsewhere /calls, which shows callers' numbers, needs ESL_CONTROLLER_WEB_TOKEN.
# In a network of its own the container also needs: ESL_CONTROLLER_ESL_ALLOW (FreeSWITCH's network),
# ESL_CONTROLLER_MEDIA_PUBLIC_URL and _MEDIA_LANE_HOST (the container, as FreeSWITCH reaches it) and
# _MEDIA_LANE_SWITCH_HOST (FreeSWITCH, as the container reaches it).

# The image by its digest, so that nobody can put another one in its place. To renew it:
#   docker buildx imagetools inspect python:3.12-slim-bookworm
ARG PYTHON=python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${PYTHON} AS build
WORKDIR /src
# First what changes seldom. Every package is fetched and checked here, those for development too:
# so the next two installations need no network and can only get what was checked.
COPY requirements.lock .
RUN pip wheel --no-cache-dir --require-hashes --no-deps --only-binary :all: \
        --wheel-dir /wheels --requirement requirements.lock \
    && pip install --no-cache-dir --no-index --find-links /wheels hatchling
COPY pyproject.toml README.md ./
COPY esl_controller esl_controller
COPY media media
RUN pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
    && python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --no-index --find-links /wheels esl-controller

FROM ${PYTHON}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin controller \
    && install --directory --owner controller --mode 0750 /var/lib/esl-controller
COPY --from=build /venv /venv
# A container's loopback is reached by nobody else: listen on every address of it.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ESL_CONTROLLER_ESL_HOST=0.0.0.0 \
    ESL_CONTROLLER_MEDIA_HOST=0.0.0.0 \
    ESL_CONTROLLER_WEB_HOST=0.0.0.0 \
    ESL_CONTROLLER_WEB_PORT=8023
USER 10001
WORKDIR /var/lib/esl-controller
VOLUME /var/lib/esl-controller
# Event Socket from FreeSWITCH, WebSocket of mod_audio_stream, health and calls.
EXPOSE 8022 8085 8023
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['ESL_CONTROLLER_WEB_PORT'] + '/healthz', timeout=2)"]
ENTRYPOINT ["esl-controller", "serve"]
