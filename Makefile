# Handback.  `make` builds both programs into build/bin; `make check` builds and runs the
# unit tests; `make SAN=address,undefined check` does the same under sanitizers.
# A folder is a part of a library, a test is found by its name, nothing is listed twice.

comma := ,
SAN   ?=
O     ?= build$(if $(SAN),/$(subst $(comma),-,$(SAN)))
ifeq ($(origin CC),default)
CC := gcc
endif

VERSION := 0.1.0

PKG_COMMON := jansson libsodium yaml-0.1
PKG_API    := libmicrohttpd gnutls sqlite3
PKG_WORKER := sofia-sip-ua openssl libcares spandsp speexdsp nettle
FLITE      := -lflite_cmu_us_slt -lflite_cmu_us_rms -lflite_cmu_us_awb -lflite_cmu_us_kal \
              -lflite_usenglish -lflite_cmulex -lflite

# Foreign headers are system headers: our warnings are for our code.
pkg_cflags  = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(1)))
common_LIBS := $(shell pkg-config --libs $(PKG_COMMON)) -lm -lpthread
api_LIBS    := $(shell pkg-config --libs $(PKG_API)) $(common_LIBS)
worker_LIBS := $(shell pkg-config --libs $(PKG_WORKER)) $(FLITE) $(common_LIBS)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wpointer-arith -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wundef \
        -Wimplicit-fallthrough -Wswitch-enum -Wno-missing-field-initializers
OPT  ?= -O2 -g
HARD := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer,-D_FORTIFY_SOURCE=2) \
        -fstack-protector-strong -fPIE

CPPFLAGS_ALL := -I. -D_GNU_SOURCE -DHANDBACK_VERSION='"$(VERSION)"' \
                $(call pkg_cflags,$(PKG_COMMON) $(PKG_API) $(PKG_WORKER)) $(CPPFLAGS)
CFLAGS_ALL   := -std=c11 $(OPT) $(WARN) $(HARD) $(CFLAGS)
LDFLAGS_ALL  := $(if $(SAN),-fsanitize=$(SAN)) -pie -Wl,-z,relro,-z,now $(LDFLAGS)

objs = $(patsubst %.c,$(O)/%.o,$(filter-out %/main.c,$(foreach d,$(1),$(wildcard $(d)/*.c))))

COMMON_OBJS := $(call objs,common common/agentdef)
API_OBJS    := $(call objs,api-server $(addprefix api-server/,http domain store hub))
WORKER_OBJS := $(call objs,sip-worker $(addprefix sip-worker/,sip media agent speech))

# tests/unit/AREA/test_*.c and tests/fuzz/AREA/*.c link the archive of their area.
UNIT_SRCS := $(wildcard tests/unit/*/test_*.c)
UNIT_BINS := $(patsubst %.c,$(O)/%,$(UNIT_SRCS))
FAKES     := $(call objs,tests/fakes)
# tests/bench/AREA/*.c: floors, load generators and measured programs, linked like unit tests.
BENCH_BINS := $(patsubst %.c,$(O)/%,$(wildcard tests/bench/*/*.c))

all: $(O)/bin/api-server $(O)/bin/sip-worker

$(O)/bin/api-server: $(O)/api-server/main.o $(O)/api-server.a $(O)/common.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(api_LIBS)

$(O)/bin/sip-worker: $(O)/sip-worker/main.o $(O)/sip-worker.a $(O)/common.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(worker_LIBS)

$(O)/common.a: $(COMMON_OBJS)
$(O)/api-server.a: $(API_OBJS)
$(O)/sip-worker.a: $(WORKER_OBJS)
$(O)/fakes.a: $(FAKES)
%.a:
	@rm -f $@
	ar rcsD $@ $^

unit: $(UNIT_BINS)
check: all unit
	scripts/run-unit $(UNIT_BINS)

$(filter $(O)/tests/unit/common/%,$(UNIT_BINS)): %: %.o $(O)/fakes.a $(O)/common.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(common_LIBS)
$(filter $(O)/tests/unit/api-server/%,$(UNIT_BINS)): %: %.o $(O)/fakes.a $(O)/api-server.a $(O)/common.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(api_LIBS)
$(filter $(O)/tests/unit/sip-worker/%,$(UNIT_BINS)): %: %.o $(O)/fakes.a $(O)/sip-worker.a $(O)/common.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(worker_LIBS) $(if $(findstring srtp,$@),-lsrtp2)

bench-bins: $(BENCH_BINS)
$(filter $(O)/tests/bench/common/%,$(BENCH_BINS)): %: %.o $(O)/fakes.a $(O)/common.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(common_LIBS)
$(filter $(O)/tests/bench/api-server/%,$(BENCH_BINS)): %: %.o $(O)/fakes.a $(O)/api-server.a $(O)/common.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(api_LIBS)
$(filter $(O)/tests/bench/sip-worker/%,$(BENCH_BINS)): %: %.o $(O)/fakes.a $(O)/sip-worker.a $(O)/common.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(worker_LIBS)

# Fuzz targets: `make fuzz` builds them with clang into build/fuzz, whole library instrumented.
FUZZ_SRCS := $(wildcard tests/fuzz/*/*.c)
ifdef FUZZ
CC         := clang
CFLAGS_ALL += -fsanitize=fuzzer-no-link
FUZZ_BINS  := $(patsubst %.c,$(O)/%,$(FUZZ_SRCS))
fuzz-bins: $(FUZZ_BINS)
$(filter $(O)/tests/fuzz/common/%,$(FUZZ_BINS)): %: %.o $(O)/common.a
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(common_LIBS)
$(filter $(O)/tests/fuzz/api-server/%,$(FUZZ_BINS)): %: %.o $(O)/api-server.a $(O)/common.a
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(api_LIBS)
$(filter $(O)/tests/fuzz/sip-worker/%,$(FUZZ_BINS)): %: %.o $(O)/sip-worker.a $(O)/common.a
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(worker_LIBS)
endif
fuzz:
	$(MAKE) FUZZ=1 SAN=address,undefined O=build/fuzz fuzz-bins

# Objects depend on the flags they were built with.
$(O)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL)' | cmp -s - $@ || \
	 echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL)' > $@

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# EMBEDDED: what EMBED() takes in, which -MMD does not see.
$(O)/common/config.o $(O)/tests/unit/common/test_agentdef.o: examples/agents/frontdesk.yaml
$(O)/api-server/http/h_static.o: schema/openapi.yaml $(wildcard api-server/web/*)
$(O)/api-server/store/db_migrate.o: $(wildcard schema/sql/sqlite/*.sql)

# Every header compiles alone.
HEADERS := $(shell find common api-server sip-worker tests/fakes -name '*.h' 2>/dev/null)
check-headers: $(addprefix hdr/,$(HEADERS))
hdr/%: FORCE
	@echo '#include "$*"' | $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -x c -fsyntax-only -

clean:
	rm -rf build

help:
	@echo 'make [all|check|unit|bench-bins|fuzz|check-headers|clean]  SAN=address,undefined  CC=clang'

FORCE:
.PHONY: all unit check bench-bins fuzz fuzz-bins check-headers clean help FORCE
.SECONDARY:
-include $(shell find $(O) -name '*.d' 2>/dev/null)
