#!/bin/sh
# Runs the AVX-512 kernels, as they are shipped but for asking ahead in small calls too (CMakeLists:
# MGNET_CACHED_BYTES), on a machine without AVX-512: builds the C++ tests
# statically, boots Linux in Bochs (which simulates a Skylake-X, instruction by instruction) and
# runs them there as the only processes. Some minutes on a free core; nothing is installed and
# nothing runs as root. On a processor with AVX-512, run the same programs directly instead.
#
# Debian: apt-get install g++ cmake ninja-build bochs bochs-term cpio isolinux \
#   syslinux-common xorriso
# The kernel is Debian's linux-image-cloud-amd64, downloaded and unpacked unless KERNEL names one
# (it must not need a disk driver: everything is in its first file system).
#
# Usage: check_avx512.sh [build folder]        environment: KERNEL, RUNS (default 300), SEED (1)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$(mktemp -d)}
runs=${RUNS:-300} seed=${SEED:-1}

cmake -S "$root" -B "$build/tests" -G Ninja -DMGNET_FAST_PYTHON=OFF -DMGNET_FAST_TESTS=ON \
  -DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON -DCMAKE_EXE_LINKER_FLAGS=-static
cmake --build "$build/tests"
cd "$build"

if [ -z "${KERNEL:-}" ]; then
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
  apt-get download "$package"
  dpkg -x "$package"_*.deb kernel
  KERNEL=$(ls kernel/boot/vmlinuz-* | head -n 1)
fi

rm -rf files disc && mkdir -p files/proc disc/isolinux
for program in test_glimpse fuzz check_avx512; do
  strip -o "files/$program" "tests/csrc/tests/$program"
done
${CXX:-g++} -std=c++17 -O1 -static "$root/csrc/tests/check_avx512_init.cpp" -o files/init
cat > files/jobs <<END
/check_avx512 --runs $((5 * runs)) --seed $seed
/test_glimpse --runs $runs --seed $seed
/fuzz --runs $((5 * runs)) --seed $seed
END
(cd files && find . | cpio --quiet -o -H newc | gzip -1) > disc/files.gz
cp "$KERNEL" disc/vmlinuz
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 disc/isolinux/
# xsavec, xsaves: Bochs 2.7 reports a wrong size for the compacted form, and Linux then switches all
# vector state off. The plain form is right.
cat > disc/isolinux/isolinux.cfg <<END
default linux
prompt 0
label linux
  kernel /vmlinuz
  append initrd=/files.gz console=ttyS0,115200 loglevel=4 clearcpuid=xsavec,xsaves nosmp noapic nokaslr mitigations=off tsc=reliable lpj=1000000 no_timer_check
END
xorriso -as mkisofs -quiet -o disc.iso -b isolinux/isolinux.bin -c isolinux/boot.cat \
  -no-emul-boot -boot-load-size 4 -boot-info-table disc

cat > machine <<END
megs: 512
cpu: model=corei7_skylake_x, count=1, ips=50000000
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=console
plugin_ctrl: sb16=0, es1370=0, speaker=0, voodoo=0, e1000=0, ne2k=0, gameport=0
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
display_library: term
log: bochs.log
panic: action=fatal
END
# Debian's Bochs has its debugger compiled in, which waits for a command before it starts.
echo continue > commands
rm -f console
# Bochs draws its screen on a terminal of its own, names it, and stops when nobody empties it.
# It is ended when the machine has nothing more to say, should it not switch off.
TERM=xterm timeout "${LIMIT:-3600}" bochs -q -f machine -rc commands < /dev/null > bochs.out 2>&1 &
bochs=$!
screen= reader=
while kill -0 $bochs 2> /dev/null; do
  sleep 2
  if [ -z "$screen" ]; then
    screen=$(sed -n 's/^Bochs connected to screen "\(.*\)".*/\1/p' bochs.out)
    if [ -n "$screen" ]; then cat "$screen" > /dev/null 2>&1 & reader=$!; fi
  fi
  if grep -q -s -E 'ALL PASSED|SOME FAILED|Kernel panic' console; then
    sleep 10
    kill $bochs 2> /dev/null || true
    break
  fi
done
if [ -n "$reader" ]; then kill $reader 2> /dev/null || true; fi
cat console
grep -q 'avx512: .* problems' console && grep -q 'ALL PASSED' console
