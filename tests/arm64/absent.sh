# Stands in for the tests of arm64's kernels where their packages are absent: skipped, and counted so; on CI, which
# installs them, a failure.
missing="gcc-aarch64-linux-gnu, libc6-dev-arm64-cross or qemu-user is not installed: nothing of arm64 is tested"
echo "1..1"
if [ -n "${CI:-}" ]; then
    echo "not ok 1 - arm64: $missing"
    exit 1
fi
echo "ok 1 - arm64 # SKIP $missing"
