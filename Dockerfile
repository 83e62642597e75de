FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY requirements.lock ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 traderai
WORKDIR /app
COPY --from=build /venv /venv
COPY --chown=traderai . .
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 DATA_DIR=/data
RUN mkdir /data && chown traderai /data \
    && SECRET_KEY=build ENCRYPTION_KEYS=build:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= DATA_DIR=/tmp/build python manage.py collectstatic --noinput
USER traderai
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "traderai.web", "-b", "0.0.0.0", "-p", "8000", "--proxy-headers", "traderai.asgi:application"]
