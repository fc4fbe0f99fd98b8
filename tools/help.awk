# SPDX-License-Identifier: GPL-2.0
# Prints the targets of a makefile with the text after their "##", under the headings "##@".
BEGIN { FS = ":.*## " }
/^##@ / { printf "\n%s\n", substr($0, 5) }
/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $1, $2 }
END {
    print "\nVariables of vm and shell"
    print "  RUN='command'      what to run; its output alone is on stdout, its status is the exit status"
    print "  SHARE=directory    appears at /mnt/share, writable"
    print "  NUM_DPU=2          how many DPUs; more than one are cabled together (default 1)"
    print "  DPU_OPTS=a=b,c=d   more properties for each DPU, such as faults=on"
    print "  SMP=2 MEM=2G       processors and memory"
    print "  IOMMU=on|off       the machine's IOMMU (default on)"
    print "  KERNEL=guest|debug which kernel: debug has KASAN, lockdep, kmemleak (default guest)"
    print "  LOAD=yes|no        whether the modules are loaded (default yes)"
    print "  MONITOR=yes|no     whether the guest may steer its QEMU (default no)"
    print "  APPEND='words'     more of the kernel's command line"
    print "  QEMU_EXTRA='args'  more arguments for QEMU"
    print "  TIMEOUT=600        seconds until the guest is given up (0: never)"
    print "\nExit status of tools/guest/vm: the command's; 124 time limit, 125 the guest died. make itself says 2"
    print "for any failure and prints the status: scripts that need it call tools/guest/vm with the same variables."
    print "\nThe cache is ~/.cache/ferrite; FERRITE_CACHE=directory moves it."
}
