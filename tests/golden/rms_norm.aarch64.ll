target triple = "aarch64-unknown-linux-gnu"

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
  %v12 = phi <4 x float> [ splat (float 0x0000000000000000), %start ], [ %v79, %body0 ]
  %more0 = icmp slt i32 %i0, %v11
  br i1 %more0, label %body0, label %after0
body0:
  %v13 = sext i32 %i0 to i64
  %v14 = sext i32 %v9 to i64
  %v15 = sext i32 %program to i64
  %v16 = mul i64 %v14, %v15
  %v17 = add i64 %v13, %v16
  %v18 = getelementptr inbounds float, ptr %v1, i64 %v17
  %v19 = load <4 x float>, ptr %v18, align 4, !alias.scope !6, !noalias !7
  %v20 = add i64 %v17, 4
  %v21 = getelementptr inbounds float, ptr %v1, i64 %v20
  %v22 = load <4 x float>, ptr %v21, align 4, !alias.scope !6, !noalias !7
  %v23 = add i64 %v17, 8
  %v24 = getelementptr inbounds float, ptr %v1, i64 %v23
  %v25 = load <4 x float>, ptr %v24, align 4, !alias.scope !6, !noalias !7
  %v26 = add i64 %v17, 12
  %v27 = getelementptr inbounds float, ptr %v1, i64 %v26
  %v28 = load <4 x float>, ptr %v27, align 4, !alias.scope !6, !noalias !7
  %v29 = add i64 %v17, 16
  %v30 = getelementptr inbounds float, ptr %v1, i64 %v29
  %v31 = load <4 x float>, ptr %v30, align 4, !alias.scope !6, !noalias !7
  %v32 = add i64 %v17, 20
  %v33 = getelementptr inbounds float, ptr %v1, i64 %v32
  %v34 = load <4 x float>, ptr %v33, align 4, !alias.scope !6, !noalias !7
  %v35 = add i64 %v17, 24
  %v36 = getelementptr inbounds float, ptr %v1, i64 %v35
  %v37 = load <4 x float>, ptr %v36, align 4, !alias.scope !6, !noalias !7
  %v38 = add i64 %v17, 28
  %v39 = getelementptr inbounds float, ptr %v1, i64 %v38
  %v40 = load <4 x float>, ptr %v39, align 4, !alias.scope !6, !noalias !7
  %v41 = getelementptr inbounds float, ptr %v1, i64 %v17
  %v42 = load <4 x float>, ptr %v41, align 4, !alias.scope !6, !noalias !7
  %v43 = add i64 %v17, 4
  %v44 = getelementptr inbounds float, ptr %v1, i64 %v43
  %v45 = load <4 x float>, ptr %v44, align 4, !alias.scope !6, !noalias !7
  %v46 = add i64 %v17, 8
  %v47 = getelementptr inbounds float, ptr %v1, i64 %v46
  %v48 = load <4 x float>, ptr %v47, align 4, !alias.scope !6, !noalias !7
  %v49 = add i64 %v17, 12
  %v50 = getelementptr inbounds float, ptr %v1, i64 %v49
  %v51 = load <4 x float>, ptr %v50, align 4, !alias.scope !6, !noalias !7
  %v52 = add i64 %v17, 16
  %v53 = getelementptr inbounds float, ptr %v1, i64 %v52
  %v54 = load <4 x float>, ptr %v53, align 4, !alias.scope !6, !noalias !7
  %v55 = add i64 %v17, 20
  %v56 = getelementptr inbounds float, ptr %v1, i64 %v55
  %v57 = load <4 x float>, ptr %v56, align 4, !alias.scope !6, !noalias !7
  %v58 = add i64 %v17, 24
  %v59 = getelementptr inbounds float, ptr %v1, i64 %v58
  %v60 = load <4 x float>, ptr %v59, align 4, !alias.scope !6, !noalias !7
  %v61 = add i64 %v17, 28
  %v62 = getelementptr inbounds float, ptr %v1, i64 %v61
  %v63 = load <4 x float>, ptr %v62, align 4, !alias.scope !6, !noalias !7
  %v64 = fmul contract <4 x float> %v19, %v42
  %v65 = fmul contract <4 x float> %v22, %v45
  %v66 = fmul contract <4 x float> %v25, %v48
  %v67 = fmul contract <4 x float> %v28, %v51
  %v68 = fmul contract <4 x float> %v31, %v54
  %v69 = fmul contract <4 x float> %v34, %v57
  %v70 = fmul contract <4 x float> %v37, %v60
  %v71 = fmul contract <4 x float> %v40, %v63
  %v72 = fadd contract <4 x float> %v64, %v65
  %v73 = fadd contract <4 x float> %v66, %v67
  %v74 = fadd contract <4 x float> %v68, %v69
  %v75 = fadd contract <4 x float> %v70, %v71
  %v76 = fadd contract <4 x float> %v72, %v73
  %v77 = fadd contract <4 x float> %v74, %v75
  %v78 = fadd contract <4 x float> %v76, %v77
  %v79 = fadd contract <4 x float> %v12, %v78
  %next0 = add nsw i32 %i0, 32
  br label %loop0
after0:
  br label %loop1
loop1:
  %i1 = phi i32 [ %v11, %after0 ], [ %next1, %body1 ]
  %v80 = phi <4 x float> [ %v12, %after0 ], [ %v203, %body1 ]
  %more1 = icmp slt i32 %i1, %v9
  br i1 %more1, label %body1, label %after1
body1:
  %v81 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v82 = shufflevector <4 x i32> %v81, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v83 = insertelement <4 x i32> poison, i32 %i1, i64 0
  %v84 = shufflevector <4 x i32> %v83, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v85 = add <4 x i32> %v84, <i32 0, i32 1, i32 2, i32 3>
  %v86 = icmp slt <4 x i32> %v85, %v82
  %v87 = sext i32 %i1 to i64
  %v88 = sext i32 %v9 to i64
  %v89 = sext i32 %program to i64
  %v90 = mul i64 %v88, %v89
  %v91 = add i64 %v87, %v90
  %v92 = getelementptr inbounds float, ptr %v1, i64 %v91
  %v93 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v92, <4 x i1> %v86, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v94 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v95 = shufflevector <4 x i32> %v94, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v96 = insertelement <4 x i32> poison, i32 %i1, i64 0
  %v97 = shufflevector <4 x i32> %v96, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v98 = add <4 x i32> %v97, <i32 4, i32 5, i32 6, i32 7>
  %v99 = icmp slt <4 x i32> %v98, %v95
  %v100 = add i64 %v91, 4
  %v101 = getelementptr inbounds float, ptr %v1, i64 %v100
  %v102 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v101, <4 x i1> %v99, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v103 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v104 = shufflevector <4 x i32> %v103, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v105 = insertelement <4 x i32> poison, i32 %i1, i64 0
  %v106 = shufflevector <4 x i32> %v105, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v107 = add <4 x i32> %v106, <i32 8, i32 9, i32 10, i32 11>
  %v108 = icmp slt <4 x i32> %v107, %v104
  %v109 = add i64 %v91, 8
  %v110 = getelementptr inbounds float, ptr %v1, i64 %v109
  %v111 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v110, <4 x i1> %v108, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v112 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v113 = shufflevector <4 x i32> %v112, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v114 = insertelement <4 x i32> poison, i32 %i1, i64 0
  %v115 = shufflevector <4 x i32> %v114, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v116 = add <4 x i32> %v115, <i32 12, i32 13, i32 14, i32 15>
  %v117 = icmp slt <4 x i32> %v116, %v113
  %v118 = add i64 %v91, 12
  %v119 = getelementptr inbounds float, ptr %v1, i64 %v118
  %v120 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v119, <4 x i1> %v117, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v121 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v122 = shufflevector <4 x i32> %v121, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v123 = insertelement <4 x i32> poison, i32 %i1, i64 0
  %v124 = shufflevector <4 x i32> %v123, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v125 = add <4 x i32> %v124, <i32 16, i32 17, i32 18, i32 19>
  %v126 = icmp slt <4 x i32> %v125, %v122
  %v127 = add i64 %v91, 16
  %v128 = getelementptr inbounds float, ptr %v1, i64 %v127
  %v129 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v128, <4 x i1> %v126, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v130 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v131 = shufflevector <4 x i32> %v130, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v132 = insertelement <4 x i32> poison, i32 %i1, i64 0
  %v133 = shufflevector <4 x i32> %v132, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v134 = add <4 x i32> %v133, <i32 20, i32 21, i32 22, i32 23>
  %v135 = icmp slt <4 x i32> %v134, %v131
  %v136 = add i64 %v91, 20
  %v137 = getelementptr inbounds float, ptr %v1, i64 %v136
  %v138 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v137, <4 x i1> %v135, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v139 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v140 = shufflevector <4 x i32> %v139, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v141 = insertelement <4 x i32> poison, i32 %i1, i64 0
  %v142 = shufflevector <4 x i32> %v141, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v143 = add <4 x i32> %v142, <i32 24, i32 25, i32 26, i32 27>
  %v144 = icmp slt <4 x i32> %v143, %v140
  %v145 = add i64 %v91, 24
  %v146 = getelementptr inbounds float, ptr %v1, i64 %v145
  %v147 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v146, <4 x i1> %v144, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v148 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v149 = shufflevector <4 x i32> %v148, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v150 = insertelement <4 x i32> poison, i32 %i1, i64 0
  %v151 = shufflevector <4 x i32> %v150, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v152 = add <4 x i32> %v151, <i32 28, i32 29, i32 30, i32 31>
  %v153 = icmp slt <4 x i32> %v152, %v149
  %v154 = add i64 %v91, 28
  %v155 = getelementptr inbounds float, ptr %v1, i64 %v154
  %v156 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v155, <4 x i1> %v153, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v157 = getelementptr inbounds float, ptr %v1, i64 %v91
  %v158 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v157, <4 x i1> %v86, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v159 = add i64 %v91, 4
  %v160 = getelementptr inbounds float, ptr %v1, i64 %v159
  %v161 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v160, <4 x i1> %v99, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v162 = add i64 %v91, 8
  %v163 = getelementptr inbounds float, ptr %v1, i64 %v162
  %v164 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v163, <4 x i1> %v108, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v165 = add i64 %v91, 12
  %v166 = getelementptr inbounds float, ptr %v1, i64 %v165
  %v167 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v166, <4 x i1> %v117, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v168 = add i64 %v91, 16
  %v169 = getelementptr inbounds float, ptr %v1, i64 %v168
  %v170 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v169, <4 x i1> %v126, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v171 = add i64 %v91, 20
  %v172 = getelementptr inbounds float, ptr %v1, i64 %v171
  %v173 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v172, <4 x i1> %v135, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v174 = add i64 %v91, 24
  %v175 = getelementptr inbounds float, ptr %v1, i64 %v174
  %v176 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v175, <4 x i1> %v144, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v177 = add i64 %v91, 28
  %v178 = getelementptr inbounds float, ptr %v1, i64 %v177
  %v179 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v178, <4 x i1> %v153, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v180 = fmul contract <4 x float> %v93, %v158
  %v181 = fmul contract <4 x float> %v102, %v161
  %v182 = fmul contract <4 x float> %v111, %v164
  %v183 = fmul contract <4 x float> %v120, %v167
  %v184 = fmul contract <4 x float> %v129, %v170
  %v185 = fmul contract <4 x float> %v138, %v173
  %v186 = fmul contract <4 x float> %v147, %v176
  %v187 = fmul contract <4 x float> %v156, %v179
  %v188 = select <4 x i1> %v86, <4 x float> %v180, <4 x float> splat (float 0x0000000000000000)
  %v189 = select <4 x i1> %v99, <4 x float> %v181, <4 x float> splat (float 0x0000000000000000)
  %v190 = select <4 x i1> %v108, <4 x float> %v182, <4 x float> splat (float 0x0000000000000000)
  %v191 = select <4 x i1> %v117, <4 x float> %v183, <4 x float> splat (float 0x0000000000000000)
  %v192 = select <4 x i1> %v126, <4 x float> %v184, <4 x float> splat (float 0x0000000000000000)
  %v193 = select <4 x i1> %v135, <4 x float> %v185, <4 x float> splat (float 0x0000000000000000)
  %v194 = select <4 x i1> %v144, <4 x float> %v186, <4 x float> splat (float 0x0000000000000000)
  %v195 = select <4 x i1> %v153, <4 x float> %v187, <4 x float> splat (float 0x0000000000000000)
  %v196 = fadd contract <4 x float> %v188, %v189
  %v197 = fadd contract <4 x float> %v190, %v191
  %v198 = fadd contract <4 x float> %v192, %v193
  %v199 = fadd contract <4 x float> %v194, %v195
  %v200 = fadd contract <4 x float> %v196, %v197
  %v201 = fadd contract <4 x float> %v198, %v199
  %v202 = fadd contract <4 x float> %v200, %v201
  %v203 = fadd contract <4 x float> %v80, %v202
  %next1 = add nsw i32 %i1, 32
  br label %loop1
after1:
  %v204 = shufflevector <4 x float> %v80, <4 x float> poison, <2 x i32> <i32 0, i32 1>
  %v205 = shufflevector <4 x float> %v80, <4 x float> poison, <2 x i32> <i32 2, i32 3>
  %v206 = fadd contract <2 x float> %v204, %v205
  %v207 = extractelement <2 x float> %v206, i64 0
  %v208 = extractelement <2 x float> %v206, i64 1
  %v209 = fadd contract float %v207, %v208
  %v210 = fadd contract float 0x0000000000000000, %v209
  %v211 = sitofp i32 %v9 to float
  %v212 = fdiv float %v210, %v211
  %v213 = fadd contract float %v212, 0x3EE4F8B580000000
  %v214 = call float @llvm.sqrt.f32(float %v213)
  %v215 = fdiv float 0x3FF0000000000000, %v214
  %v216 = sdiv i32 %v9, 32
  %v217 = mul i32 %v216, 32
  br label %loop2
loop2:
  %i2 = phi i32 [ 0, %after1 ], [ %next2, %body2 ]
  %more2 = icmp slt i32 %i2, %v217
  br i1 %more2, label %body2, label %after2
body2:
  %v218 = sext i32 %i2 to i64
  %v219 = sext i32 %v9 to i64
  %v220 = sext i32 %program to i64
  %v221 = mul i64 %v219, %v220
  %v222 = add i64 %v218, %v221
  %v223 = getelementptr inbounds float, ptr %v1, i64 %v222
  %v224 = load <4 x float>, ptr %v223, align 4, !alias.scope !6, !noalias !7
  %v225 = add i64 %v222, 4
  %v226 = getelementptr inbounds float, ptr %v1, i64 %v225
  %v227 = load <4 x float>, ptr %v226, align 4, !alias.scope !6, !noalias !7
  %v228 = add i64 %v222, 8
  %v229 = getelementptr inbounds float, ptr %v1, i64 %v228
  %v230 = load <4 x float>, ptr %v229, align 4, !alias.scope !6, !noalias !7
  %v231 = add i64 %v222, 12
  %v232 = getelementptr inbounds float, ptr %v1, i64 %v231
  %v233 = load <4 x float>, ptr %v232, align 4, !alias.scope !6, !noalias !7
  %v234 = add i64 %v222, 16
  %v235 = getelementptr inbounds float, ptr %v1, i64 %v234
  %v236 = load <4 x float>, ptr %v235, align 4, !alias.scope !6, !noalias !7
  %v237 = add i64 %v222, 20
  %v238 = getelementptr inbounds float, ptr %v1, i64 %v237
  %v239 = load <4 x float>, ptr %v238, align 4, !alias.scope !6, !noalias !7
  %v240 = add i64 %v222, 24
  %v241 = getelementptr inbounds float, ptr %v1, i64 %v240
  %v242 = load <4 x float>, ptr %v241, align 4, !alias.scope !6, !noalias !7
  %v243 = add i64 %v222, 28
  %v244 = getelementptr inbounds float, ptr %v1, i64 %v243
  %v245 = load <4 x float>, ptr %v244, align 4, !alias.scope !6, !noalias !7
  %v246 = insertelement <4 x float> poison, float %v215, i64 0
  %v247 = shufflevector <4 x float> %v246, <4 x float> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v248 = fmul contract <4 x float> %v224, %v247
  %v249 = fmul contract <4 x float> %v227, %v247
  %v250 = fmul contract <4 x float> %v230, %v247
  %v251 = fmul contract <4 x float> %v233, %v247
  %v252 = fmul contract <4 x float> %v236, %v247
  %v253 = fmul contract <4 x float> %v239, %v247
  %v254 = fmul contract <4 x float> %v242, %v247
  %v255 = fmul contract <4 x float> %v245, %v247
  %v256 = getelementptr inbounds float, ptr %v3, i64 %v218
  %v257 = load <4 x float>, ptr %v256, align 4, !alias.scope !8, !noalias !9
  %v258 = add i64 %v218, 4
  %v259 = getelementptr inbounds float, ptr %v3, i64 %v258
  %v260 = load <4 x float>, ptr %v259, align 4, !alias.scope !8, !noalias !9
  %v261 = add i64 %v218, 8
  %v262 = getelementptr inbounds float, ptr %v3, i64 %v261
  %v263 = load <4 x float>, ptr %v262, align 4, !alias.scope !8, !noalias !9
  %v264 = add i64 %v218, 12
  %v265 = getelementptr inbounds float, ptr %v3, i64 %v264
  %v266 = load <4 x float>, ptr %v265, align 4, !alias.scope !8, !noalias !9
  %v267 = add i64 %v218, 16
  %v268 = getelementptr inbounds float, ptr %v3, i64 %v267
  %v269 = load <4 x float>, ptr %v268, align 4, !alias.scope !8, !noalias !9
  %v270 = add i64 %v218, 20
  %v271 = getelementptr inbounds float, ptr %v3, i64 %v270
  %v272 = load <4 x float>, ptr %v271, align 4, !alias.scope !8, !noalias !9
  %v273 = add i64 %v218, 24
  %v274 = getelementptr inbounds float, ptr %v3, i64 %v273
  %v275 = load <4 x float>, ptr %v274, align 4, !alias.scope !8, !noalias !9
  %v276 = add i64 %v218, 28
  %v277 = getelementptr inbounds float, ptr %v3, i64 %v276
  %v278 = load <4 x float>, ptr %v277, align 4, !alias.scope !8, !noalias !9
  %v279 = fmul contract <4 x float> %v248, %v257
  %v280 = fmul contract <4 x float> %v249, %v260
  %v281 = fmul contract <4 x float> %v250, %v263
  %v282 = fmul contract <4 x float> %v251, %v266
  %v283 = fmul contract <4 x float> %v252, %v269
  %v284 = fmul contract <4 x float> %v253, %v272
  %v285 = fmul contract <4 x float> %v254, %v275
  %v286 = fmul contract <4 x float> %v255, %v278
  %v287 = getelementptr inbounds float, ptr %v5, i64 %v222
  store <4 x float> %v279, ptr %v287, align 4, !alias.scope !10, !noalias !11
  %v288 = add i64 %v222, 4
  %v289 = getelementptr inbounds float, ptr %v5, i64 %v288
  store <4 x float> %v280, ptr %v289, align 4, !alias.scope !10, !noalias !11
  %v290 = add i64 %v222, 8
  %v291 = getelementptr inbounds float, ptr %v5, i64 %v290
  store <4 x float> %v281, ptr %v291, align 4, !alias.scope !10, !noalias !11
  %v292 = add i64 %v222, 12
  %v293 = getelementptr inbounds float, ptr %v5, i64 %v292
  store <4 x float> %v282, ptr %v293, align 4, !alias.scope !10, !noalias !11
  %v294 = add i64 %v222, 16
  %v295 = getelementptr inbounds float, ptr %v5, i64 %v294
  store <4 x float> %v283, ptr %v295, align 4, !alias.scope !10, !noalias !11
  %v296 = add i64 %v222, 20
  %v297 = getelementptr inbounds float, ptr %v5, i64 %v296
  store <4 x float> %v284, ptr %v297, align 4, !alias.scope !10, !noalias !11
  %v298 = add i64 %v222, 24
  %v299 = getelementptr inbounds float, ptr %v5, i64 %v298
  store <4 x float> %v285, ptr %v299, align 4, !alias.scope !10, !noalias !11
  %v300 = add i64 %v222, 28
  %v301 = getelementptr inbounds float, ptr %v5, i64 %v300
  store <4 x float> %v286, ptr %v301, align 4, !alias.scope !10, !noalias !11
  %next2 = add nsw i32 %i2, 32
  br label %loop2
after2:
  br label %loop3
loop3:
  %i3 = phi i32 [ %v217, %after2 ], [ %next3, %body3 ]
  %more3 = icmp slt i32 %i3, %v9
  br i1 %more3, label %body3, label %after3
body3:
  %v302 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v303 = shufflevector <4 x i32> %v302, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v304 = insertelement <4 x i32> poison, i32 %i3, i64 0
  %v305 = shufflevector <4 x i32> %v304, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v306 = add <4 x i32> %v305, <i32 0, i32 1, i32 2, i32 3>
  %v307 = icmp slt <4 x i32> %v306, %v303
  %v308 = sext i32 %i3 to i64
  %v309 = sext i32 %v9 to i64
  %v310 = sext i32 %program to i64
  %v311 = mul i64 %v309, %v310
  %v312 = add i64 %v308, %v311
  %v313 = getelementptr inbounds float, ptr %v1, i64 %v312
  %v314 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v313, <4 x i1> %v307, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v315 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v316 = shufflevector <4 x i32> %v315, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v317 = insertelement <4 x i32> poison, i32 %i3, i64 0
  %v318 = shufflevector <4 x i32> %v317, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v319 = add <4 x i32> %v318, <i32 4, i32 5, i32 6, i32 7>
  %v320 = icmp slt <4 x i32> %v319, %v316
  %v321 = add i64 %v312, 4
  %v322 = getelementptr inbounds float, ptr %v1, i64 %v321
  %v323 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v322, <4 x i1> %v320, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v324 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v325 = shufflevector <4 x i32> %v324, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v326 = insertelement <4 x i32> poison, i32 %i3, i64 0
  %v327 = shufflevector <4 x i32> %v326, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v328 = add <4 x i32> %v327, <i32 8, i32 9, i32 10, i32 11>
  %v329 = icmp slt <4 x i32> %v328, %v325
  %v330 = add i64 %v312, 8
  %v331 = getelementptr inbounds float, ptr %v1, i64 %v330
  %v332 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v331, <4 x i1> %v329, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v333 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v334 = shufflevector <4 x i32> %v333, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v335 = insertelement <4 x i32> poison, i32 %i3, i64 0
  %v336 = shufflevector <4 x i32> %v335, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v337 = add <4 x i32> %v336, <i32 12, i32 13, i32 14, i32 15>
  %v338 = icmp slt <4 x i32> %v337, %v334
  %v339 = add i64 %v312, 12
  %v340 = getelementptr inbounds float, ptr %v1, i64 %v339
  %v341 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v340, <4 x i1> %v338, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v342 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v343 = shufflevector <4 x i32> %v342, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v344 = insertelement <4 x i32> poison, i32 %i3, i64 0
  %v345 = shufflevector <4 x i32> %v344, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v346 = add <4 x i32> %v345, <i32 16, i32 17, i32 18, i32 19>
  %v347 = icmp slt <4 x i32> %v346, %v343
  %v348 = add i64 %v312, 16
  %v349 = getelementptr inbounds float, ptr %v1, i64 %v348
  %v350 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v349, <4 x i1> %v347, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v351 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v352 = shufflevector <4 x i32> %v351, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v353 = insertelement <4 x i32> poison, i32 %i3, i64 0
  %v354 = shufflevector <4 x i32> %v353, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v355 = add <4 x i32> %v354, <i32 20, i32 21, i32 22, i32 23>
  %v356 = icmp slt <4 x i32> %v355, %v352
  %v357 = add i64 %v312, 20
  %v358 = getelementptr inbounds float, ptr %v1, i64 %v357
  %v359 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v358, <4 x i1> %v356, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v360 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v361 = shufflevector <4 x i32> %v360, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v362 = insertelement <4 x i32> poison, i32 %i3, i64 0
  %v363 = shufflevector <4 x i32> %v362, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v364 = add <4 x i32> %v363, <i32 24, i32 25, i32 26, i32 27>
  %v365 = icmp slt <4 x i32> %v364, %v361
  %v366 = add i64 %v312, 24
  %v367 = getelementptr inbounds float, ptr %v1, i64 %v366
  %v368 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v367, <4 x i1> %v365, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v369 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v370 = shufflevector <4 x i32> %v369, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v371 = insertelement <4 x i32> poison, i32 %i3, i64 0
  %v372 = shufflevector <4 x i32> %v371, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v373 = add <4 x i32> %v372, <i32 28, i32 29, i32 30, i32 31>
  %v374 = icmp slt <4 x i32> %v373, %v370
  %v375 = add i64 %v312, 28
  %v376 = getelementptr inbounds float, ptr %v1, i64 %v375
  %v377 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v376, <4 x i1> %v374, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v378 = insertelement <4 x float> poison, float %v215, i64 0
  %v379 = shufflevector <4 x float> %v378, <4 x float> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v380 = fmul contract <4 x float> %v314, %v379
  %v381 = fmul contract <4 x float> %v323, %v379
  %v382 = fmul contract <4 x float> %v332, %v379
  %v383 = fmul contract <4 x float> %v341, %v379
  %v384 = fmul contract <4 x float> %v350, %v379
  %v385 = fmul contract <4 x float> %v359, %v379
  %v386 = fmul contract <4 x float> %v368, %v379
  %v387 = fmul contract <4 x float> %v377, %v379
  %v388 = getelementptr inbounds float, ptr %v3, i64 %v308
  %v389 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v388, <4 x i1> %v307, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v390 = add i64 %v308, 4
  %v391 = getelementptr inbounds float, ptr %v3, i64 %v390
  %v392 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v391, <4 x i1> %v320, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v393 = add i64 %v308, 8
  %v394 = getelementptr inbounds float, ptr %v3, i64 %v393
  %v395 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v394, <4 x i1> %v329, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v396 = add i64 %v308, 12
  %v397 = getelementptr inbounds float, ptr %v3, i64 %v396
  %v398 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v397, <4 x i1> %v338, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v399 = add i64 %v308, 16
  %v400 = getelementptr inbounds float, ptr %v3, i64 %v399
  %v401 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v400, <4 x i1> %v347, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v402 = add i64 %v308, 20
  %v403 = getelementptr inbounds float, ptr %v3, i64 %v402
  %v404 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v403, <4 x i1> %v356, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v405 = add i64 %v308, 24
  %v406 = getelementptr inbounds float, ptr %v3, i64 %v405
  %v407 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v406, <4 x i1> %v365, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v408 = add i64 %v308, 28
  %v409 = getelementptr inbounds float, ptr %v3, i64 %v408
  %v410 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v409, <4 x i1> %v374, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v411 = fmul contract <4 x float> %v380, %v389
  %v412 = fmul contract <4 x float> %v381, %v392
  %v413 = fmul contract <4 x float> %v382, %v395
  %v414 = fmul contract <4 x float> %v383, %v398
  %v415 = fmul contract <4 x float> %v384, %v401
  %v416 = fmul contract <4 x float> %v385, %v404
  %v417 = fmul contract <4 x float> %v386, %v407
  %v418 = fmul contract <4 x float> %v387, %v410
  %v419 = getelementptr inbounds float, ptr %v5, i64 %v312
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v411, ptr align 4 %v419, <4 x i1> %v307), !alias.scope !10, !noalias !11
  %v420 = add i64 %v312, 4
  %v421 = getelementptr inbounds float, ptr %v5, i64 %v420
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v412, ptr align 4 %v421, <4 x i1> %v320), !alias.scope !10, !noalias !11
  %v422 = add i64 %v312, 8
  %v423 = getelementptr inbounds float, ptr %v5, i64 %v422
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v413, ptr align 4 %v423, <4 x i1> %v329), !alias.scope !10, !noalias !11
  %v424 = add i64 %v312, 12
  %v425 = getelementptr inbounds float, ptr %v5, i64 %v424
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v414, ptr align 4 %v425, <4 x i1> %v338), !alias.scope !10, !noalias !11
  %v426 = add i64 %v312, 16
  %v427 = getelementptr inbounds float, ptr %v5, i64 %v426
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v415, ptr align 4 %v427, <4 x i1> %v347), !alias.scope !10, !noalias !11
  %v428 = add i64 %v312, 20
  %v429 = getelementptr inbounds float, ptr %v5, i64 %v428
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v416, ptr align 4 %v429, <4 x i1> %v356), !alias.scope !10, !noalias !11
  %v430 = add i64 %v312, 24
  %v431 = getelementptr inbounds float, ptr %v5, i64 %v430
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v417, ptr align 4 %v431, <4 x i1> %v365), !alias.scope !10, !noalias !11
  %v432 = add i64 %v312, 28
  %v433 = getelementptr inbounds float, ptr %v5, i64 %v432
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v418, ptr align 4 %v433, <4 x i1> %v374), !alias.scope !10, !noalias !11
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

declare <4 x float> @llvm.masked.load.v4f32.p0(ptr, <4 x i1>, <4 x float>)
declare float @llvm.sqrt.f32(float)
declare void @llvm.masked.store.v4f32.p0(<4 x float>, ptr, <4 x i1>)

attributes #0 = { nounwind "target-cpu"="neoverse-n1" "target-features"="+neon,+fp-armv8,+dotprod,+fullfp16,+lse,+rdm,+crc,+ras,+rcpc" }
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
