# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
# The guest of a test: a boot sector, without any operating system.
#
# It fills 14 MiB of its memory with what does not compress, so that a live migration takes as long
# as its bandwidth says. Then it writes: with each fourth tick of the clock a part of its memory, and
# with each sixteenth a counter to a block of its disk. The test has put a name into that block;
# name and counter prove afterwards which disk the guest has, that it runs, and that no write was
# lost.
        .code16
        .globl  _start
        .set    block, 0x8000
        .set    counter, block + 32
_start: cli
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        sti
        cld
        movb    %dl, drive
        movw    $packet, %si
        movb    $0x42, %ah              # read the block with the name
        int     $0x13
        movw    $0x1000, %ax            # 32 KiB at 64 KiB
        movw    %ax, %es
        xorw    %di, %di
        movw    $0x4000, %cx
        movw    $0x1234, %ax
1:      imulw   $25173, %ax, %ax
        addw    $13849, %ax
        stosw
        loop    1b
        xorw    %ax, %ax
        movw    %ax, %es
        movw    $448, %bx               # of 32 KiB each, from 1 MiB on
2:      call    copy
        addw    $0x8000, target + 2
        adcb    $0, target + 4
        decw    %bx
        jnz     2b
forever:
        hlt
        incb    ticks
        testb   $3, ticks
        jnz     forever
        call    copy
        testb   $15, ticks
        jnz     forever
        addl    $1, counter
        movw    $packet, %si
        movb    drive, %dl
        movw    $0x4300, %ax            # write it
        int     $0x13
        jmp     forever
copy:   pusha
        movw    $gdt, %si
        movw    $0x4000, %cx            # words
        movb    $0x87, %ah              # the BIOS moves a block of extended memory
        int     $0x15
        popa
        ret
drive:  .byte   0
ticks:  .byte   0
packet: .byte   16, 0
        .word   1, block, 0
        .quad   2048                    # as counter.BLOCK
        .balign 8
gdt:    .fill   16, 1, 0
        .word   0xffff, 0
        .byte   1, 0x93, 0, 0
target: .word   0xffff, 0
        .byte   0x10, 0x93, 0, 0
        .fill   16, 1, 0
        .org    510
        .word   0xaa55
