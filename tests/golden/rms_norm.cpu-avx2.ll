target triple = "x86_64-unknown-linux-gnu"

define void @"rms_norm"(ptr noundef %args, i64 noundef %begin, i64 noundef %end) #0 {
entry:
  %v1 = load ptr, ptr %args, align 8, !align !0, !nonnull !1, !noundef !1, !invariant.load !1
  %v2 = getelementptr inbounds i64, ptr %args, i64 1
  %v3 = load ptr, ptr %v2, align 8, !align !0, !nonnull !1, !noundef !1, !invariant.load !1
  %v4 = getelementptr inbounds i64, ptr %args, i64 2
  %v5 = load ptr, ptr %v4, align 8, !align !0, !nonnull !1, !noundef !1, !invariant.load !1
  %v6 = getelementptr inbounds i64, ptr %args, i64 3
  %v7 = load i32, ptr %v6, align 8, !noundef !1, !invariant.load !1
  %v8 = getelementptr inbounds i64, ptr %args, i64 4
  %v9 = load i32, ptr %v8, align 8, !noundef !1, !invariant.load !1
  br label %programs
programs:
  %program64 = phi i64 [ %begin, %entry ], [ %following, %finished ]
  %more = icmp slt i64 %program64, %end
  br i1 %more, label %start, label %return
start:
  %program = trunc i64 %program64 to i32
  %v10 = sdiv i32 %v9, 32
  %v11 = mul i32 %v10, 32
  br label %loop0
loop0:
  %i0 = phi i32 [ 0, %start ], [ %next0, %body0 ]
  %v12 = phi <8 x float> [ splat (float 0x0000000000000000), %start ], [ %v47, %body0 ]
  %more0 = icmp slt i32 %i0, %v11
  br i1 %more0, label %body0, label %after0
body0:
  %v13 = sext i32 %i0 to i64
  %v14 = sext i32 %v9 to i64
  %v15 = sext i32 %program to i64
  %v16 = mul i64 %v14, %v15
  %v17 = add i64 %v13, %v16
  %v18 = getelementptr inbounds float, ptr %v1, i64 %v17
  %v19 = load <8 x float>, ptr %v18, align 4, !alias.scope !6, !noalias !7
  %v20 = add i64 %v17, 8
  %v21 = getelementptr inbounds float, ptr %v1, i64 %v20
  %v22 = load <8 x float>, ptr %v21, align 4, !alias.scope !6, !noalias !7
  %v23 = add i64 %v17, 16
  %v24 = getelementptr inbounds float, ptr %v1, i64 %v23
  %v25 = load <8 x float>, ptr %v24, align 4, !alias.scope !6, !noalias !7
  %v26 = add i64 %v17, 24
  %v27 = getelementptr inbounds float, ptr %v1, i64 %v26
  %v28 = load <8 x float>, ptr %v27, align 4, !alias.scope !6, !noalias !7
  %v29 = getelementptr inbounds float, ptr %v1, i64 %v17
  %v30 = load <8 x float>, ptr %v29, align 4, !alias.scope !6, !noalias !7
  %v31 = add i64 %v17, 8
  %v32 = getelementptr inbounds float, ptr %v1, i64 %v31
  %v33 = load <8 x float>, ptr %v32, align 4, !alias.scope !6, !noalias !7
  %v34 = add i64 %v17, 16
  %v35 = getelementptr inbounds float, ptr %v1, i64 %v34
  %v36 = load <8 x float>, ptr %v35, align 4, !alias.scope !6, !noalias !7
  %v37 = add i64 %v17, 24
  %v38 = getelementptr inbounds float, ptr %v1, i64 %v37
  %v39 = load <8 x float>, ptr %v38, align 4, !alias.scope !6, !noalias !7
  %v40 = fmul contract <8 x float> %v19, %v30
  %v41 = fmul contract <8 x float> %v22, %v33
  %v42 = fmul contract <8 x float> %v25, %v36
  %v43 = fmul contract <8 x float> %v28, %v39
  %v44 = fadd contract <8 x float> %v40, %v41
  %v45 = fadd contract <8 x float> %v42, %v43
  %v46 = fadd contract <8 x float> %v44, %v45
  %v47 = fadd contract <8 x float> %v12, %v46
  %next0 = add nsw i32 %i0, 32
  br label %loop0
after0:
  br label %loop1
loop1:
  %i1 = phi i32 [ %v11, %after0 ], [ %next1, %body1 ]
  %v48 = phi <8 x float> [ %v12, %after0 ], [ %v111, %body1 ]
  %more1 = icmp slt i32 %i1, %v9
  br i1 %more1, label %body1, label %after1
body1:
  %v49 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v50 = shufflevector <8 x i32> %v49, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v51 = insertelement <8 x i32> poison, i32 %i1, i64 0
  %v52 = shufflevector <8 x i32> %v51, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v53 = add <8 x i32> %v52, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v54 = icmp slt <8 x i32> %v53, %v50
  %v55 = sext i32 %i1 to i64
  %v56 = sext i32 %v9 to i64
  %v57 = sext i32 %program to i64
  %v58 = mul i64 %v56, %v57
  %v59 = add i64 %v55, %v58
  %v60 = getelementptr inbounds float, ptr %v1, i64 %v59
  %v61 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v60, <8 x i1> %v54, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v62 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v63 = shufflevector <8 x i32> %v62, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v64 = insertelement <8 x i32> poison, i32 %i1, i64 0
  %v65 = shufflevector <8 x i32> %v64, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v66 = add <8 x i32> %v65, <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v67 = icmp slt <8 x i32> %v66, %v63
  %v68 = add i64 %v59, 8
  %v69 = getelementptr inbounds float, ptr %v1, i64 %v68
  %v70 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v69, <8 x i1> %v67, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v71 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v72 = shufflevector <8 x i32> %v71, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v73 = insertelement <8 x i32> poison, i32 %i1, i64 0
  %v74 = shufflevector <8 x i32> %v73, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v75 = add <8 x i32> %v74, <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v76 = icmp slt <8 x i32> %v75, %v72
  %v77 = add i64 %v59, 16
  %v78 = getelementptr inbounds float, ptr %v1, i64 %v77
  %v79 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v78, <8 x i1> %v76, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v80 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v81 = shufflevector <8 x i32> %v80, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v82 = insertelement <8 x i32> poison, i32 %i1, i64 0
  %v83 = shufflevector <8 x i32> %v82, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v84 = add <8 x i32> %v83, <i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v85 = icmp slt <8 x i32> %v84, %v81
  %v86 = add i64 %v59, 24
  %v87 = getelementptr inbounds float, ptr %v1, i64 %v86
  %v88 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v87, <8 x i1> %v85, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v89 = getelementptr inbounds float, ptr %v1, i64 %v59
  %v90 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v89, <8 x i1> %v54, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v91 = add i64 %v59, 8
  %v92 = getelementptr inbounds float, ptr %v1, i64 %v91
  %v93 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v92, <8 x i1> %v67, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v94 = add i64 %v59, 16
  %v95 = getelementptr inbounds float, ptr %v1, i64 %v94
  %v96 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v95, <8 x i1> %v76, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v97 = add i64 %v59, 24
  %v98 = getelementptr inbounds float, ptr %v1, i64 %v97
  %v99 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v98, <8 x i1> %v85, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v100 = fmul contract <8 x float> %v61, %v90
  %v101 = fmul contract <8 x float> %v70, %v93
  %v102 = fmul contract <8 x float> %v79, %v96
  %v103 = fmul contract <8 x float> %v88, %v99
  %v104 = select <8 x i1> %v54, <8 x float> %v100, <8 x float> splat (float 0x0000000000000000)
  %v105 = select <8 x i1> %v67, <8 x float> %v101, <8 x float> splat (float 0x0000000000000000)
  %v106 = select <8 x i1> %v76, <8 x float> %v102, <8 x float> splat (float 0x0000000000000000)
  %v107 = select <8 x i1> %v85, <8 x float> %v103, <8 x float> splat (float 0x0000000000000000)
  %v108 = fadd contract <8 x float> %v104, %v105
  %v109 = fadd contract <8 x float> %v106, %v107
  %v110 = fadd contract <8 x float> %v108, %v109
  %v111 = fadd contract <8 x float> %v48, %v110
  %next1 = add nsw i32 %i1, 32
  br label %loop1
after1:
  %v112 = shufflevector <8 x float> %v48, <8 x float> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %v113 = shufflevector <8 x float> %v48, <8 x float> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
  %v114 = fadd contract <4 x float> %v112, %v113
  %v115 = shufflevector <4 x float> %v114, <4 x float> poison, <2 x i32> <i32 0, i32 1>
  %v116 = shufflevector <4 x float> %v114, <4 x float> poison, <2 x i32> <i32 2, i32 3>
  %v117 = fadd contract <2 x float> %v115, %v116
  %v118 = extractelement <2 x float> %v117, i64 0
  %v119 = extractelement <2 x float> %v117, i64 1
  %v120 = fadd contract float %v118, %v119
  %v121 = fadd contract float 0x0000000000000000, %v120
  %v122 = sitofp i32 %v9 to float
  %v123 = fdiv float %v121, %v122
  %v124 = fadd contract float %v123, 0x3EE4F8B580000000
  %v125 = call float @llvm.sqrt.f32(float %v124)
  %v126 = fdiv float 0x3FF0000000000000, %v125
  %v127 = sdiv i32 %v9, 32
  %v128 = mul i32 %v127, 32
  br label %loop2
loop2:
  %i2 = phi i32 [ 0, %after1 ], [ %next2, %body2 ]
  %more2 = icmp slt i32 %i2, %v128
  br i1 %more2, label %body2, label %after2
body2:
  %v129 = sext i32 %i2 to i64
  %v130 = sext i32 %v9 to i64
  %v131 = sext i32 %program to i64
  %v132 = mul i64 %v130, %v131
  %v133 = add i64 %v129, %v132
  %v134 = getelementptr inbounds float, ptr %v1, i64 %v133
  %v135 = load <8 x float>, ptr %v134, align 4, !alias.scope !6, !noalias !7
  %v136 = add i64 %v133, 8
  %v137 = getelementptr inbounds float, ptr %v1, i64 %v136
  %v138 = load <8 x float>, ptr %v137, align 4, !alias.scope !6, !noalias !7
  %v139 = add i64 %v133, 16
  %v140 = getelementptr inbounds float, ptr %v1, i64 %v139
  %v141 = load <8 x float>, ptr %v140, align 4, !alias.scope !6, !noalias !7
  %v142 = add i64 %v133, 24
  %v143 = getelementptr inbounds float, ptr %v1, i64 %v142
  %v144 = load <8 x float>, ptr %v143, align 4, !alias.scope !6, !noalias !7
  %v145 = insertelement <8 x float> poison, float %v126, i64 0
  %v146 = shufflevector <8 x float> %v145, <8 x float> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v147 = fmul contract <8 x float> %v135, %v146
  %v148 = fmul contract <8 x float> %v138, %v146
  %v149 = fmul contract <8 x float> %v141, %v146
  %v150 = fmul contract <8 x float> %v144, %v146
  %v151 = getelementptr inbounds float, ptr %v3, i64 %v129
  %v152 = load <8 x float>, ptr %v151, align 4, !alias.scope !8, !noalias !9
  %v153 = add i64 %v129, 8
  %v154 = getelementptr inbounds float, ptr %v3, i64 %v153
  %v155 = load <8 x float>, ptr %v154, align 4, !alias.scope !8, !noalias !9
  %v156 = add i64 %v129, 16
  %v157 = getelementptr inbounds float, ptr %v3, i64 %v156
  %v158 = load <8 x float>, ptr %v157, align 4, !alias.scope !8, !noalias !9
  %v159 = add i64 %v129, 24
  %v160 = getelementptr inbounds float, ptr %v3, i64 %v159
  %v161 = load <8 x float>, ptr %v160, align 4, !alias.scope !8, !noalias !9
  %v162 = fmul contract <8 x float> %v147, %v152
  %v163 = fmul contract <8 x float> %v148, %v155
  %v164 = fmul contract <8 x float> %v149, %v158
  %v165 = fmul contract <8 x float> %v150, %v161
  %v166 = getelementptr inbounds float, ptr %v5, i64 %v133
  store <8 x float> %v162, ptr %v166, align 4, !alias.scope !10, !noalias !11
  %v167 = add i64 %v133, 8
  %v168 = getelementptr inbounds float, ptr %v5, i64 %v167
  store <8 x float> %v163, ptr %v168, align 4, !alias.scope !10, !noalias !11
  %v169 = add i64 %v133, 16
  %v170 = getelementptr inbounds float, ptr %v5, i64 %v169
  store <8 x float> %v164, ptr %v170, align 4, !alias.scope !10, !noalias !11
  %v171 = add i64 %v133, 24
  %v172 = getelementptr inbounds float, ptr %v5, i64 %v171
  store <8 x float> %v165, ptr %v172, align 4, !alias.scope !10, !noalias !11
  %next2 = add nsw i32 %i2, 32
  br label %loop2
after2:
  br label %loop3
loop3:
  %i3 = phi i32 [ %v128, %after2 ], [ %next3, %body3 ]
  %more3 = icmp slt i32 %i3, %v9
  br i1 %more3, label %body3, label %after3
body3:
  %v173 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v174 = shufflevector <8 x i32> %v173, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v175 = insertelement <8 x i32> poison, i32 %i3, i64 0
  %v176 = shufflevector <8 x i32> %v175, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v177 = add <8 x i32> %v176, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v178 = icmp slt <8 x i32> %v177, %v174
  %v179 = sext i32 %i3 to i64
  %v180 = sext i32 %v9 to i64
  %v181 = sext i32 %program to i64
  %v182 = mul i64 %v180, %v181
  %v183 = add i64 %v179, %v182
  %v184 = getelementptr inbounds float, ptr %v1, i64 %v183
  %v185 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v184, <8 x i1> %v178, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v186 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v187 = shufflevector <8 x i32> %v186, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v188 = insertelement <8 x i32> poison, i32 %i3, i64 0
  %v189 = shufflevector <8 x i32> %v188, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v190 = add <8 x i32> %v189, <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v191 = icmp slt <8 x i32> %v190, %v187
  %v192 = add i64 %v183, 8
  %v193 = getelementptr inbounds float, ptr %v1, i64 %v192
  %v194 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v193, <8 x i1> %v191, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v195 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v196 = shufflevector <8 x i32> %v195, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v197 = insertelement <8 x i32> poison, i32 %i3, i64 0
  %v198 = shufflevector <8 x i32> %v197, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v199 = add <8 x i32> %v198, <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v200 = icmp slt <8 x i32> %v199, %v196
  %v201 = add i64 %v183, 16
  %v202 = getelementptr inbounds float, ptr %v1, i64 %v201
  %v203 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v202, <8 x i1> %v200, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v204 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v205 = shufflevector <8 x i32> %v204, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v206 = insertelement <8 x i32> poison, i32 %i3, i64 0
  %v207 = shufflevector <8 x i32> %v206, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v208 = add <8 x i32> %v207, <i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v209 = icmp slt <8 x i32> %v208, %v205
  %v210 = add i64 %v183, 24
  %v211 = getelementptr inbounds float, ptr %v1, i64 %v210
  %v212 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v211, <8 x i1> %v209, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v213 = insertelement <8 x float> poison, float %v126, i64 0
  %v214 = shufflevector <8 x float> %v213, <8 x float> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v215 = fmul contract <8 x float> %v185, %v214
  %v216 = fmul contract <8 x float> %v194, %v214
  %v217 = fmul contract <8 x float> %v203, %v214
  %v218 = fmul contract <8 x float> %v212, %v214
  %v219 = getelementptr inbounds float, ptr %v3, i64 %v179
  %v220 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v219, <8 x i1> %v178, <8 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v221 = add i64 %v179, 8
  %v222 = getelementptr inbounds float, ptr %v3, i64 %v221
  %v223 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v222, <8 x i1> %v191, <8 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v224 = add i64 %v179, 16
  %v225 = getelementptr inbounds float, ptr %v3, i64 %v224
  %v226 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v225, <8 x i1> %v200, <8 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v227 = add i64 %v179, 24
  %v228 = getelementptr inbounds float, ptr %v3, i64 %v227
  %v229 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v228, <8 x i1> %v209, <8 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v230 = fmul contract <8 x float> %v215, %v220
  %v231 = fmul contract <8 x float> %v216, %v223
  %v232 = fmul contract <8 x float> %v217, %v226
  %v233 = fmul contract <8 x float> %v218, %v229
  %v234 = getelementptr inbounds float, ptr %v5, i64 %v183
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v230, ptr align 4 %v234, <8 x i1> %v178), !alias.scope !10, !noalias !11
  %v235 = add i64 %v183, 8
  %v236 = getelementptr inbounds float, ptr %v5, i64 %v235
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v231, ptr align 4 %v236, <8 x i1> %v191), !alias.scope !10, !noalias !11
  %v237 = add i64 %v183, 16
  %v238 = getelementptr inbounds float, ptr %v5, i64 %v237
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v232, ptr align 4 %v238, <8 x i1> %v200), !alias.scope !10, !noalias !11
  %v239 = add i64 %v183, 24
  %v240 = getelementptr inbounds float, ptr %v5, i64 %v239
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v233, ptr align 4 %v240, <8 x i1> %v209), !alias.scope !10, !noalias !11
  %next3 = add nsw i32 %i3, 32
  br label %loop3
after3:
  br label %finished
finished:
  %following = add nuw nsw i64 %program64, 1
  br label %programs
return:
  ret void
}

declare <8 x float> @llvm.masked.load.v8f32.p0(ptr, <8 x i1>, <8 x float>)
declare float @llvm.sqrt.f32(float)
declare void @llvm.masked.store.v8f32.p0(<8 x float>, ptr, <8 x i1>)

attributes #0 = { nounwind "target-cpu"="x86-64-v3" "target-features"="+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe" }
!0 = !{i64 64}
!1 = !{}
!2 = distinct !{!2}
!3 = distinct !{!3, !2}
!4 = distinct !{!4, !2}
!5 = distinct !{!5, !2}
!6 = !{!3}
!7 = !{!4, !5}
!8 = !{!4}
!9 = !{!3, !5}
!10 = !{!5}
!11 = !{!3, !4}
