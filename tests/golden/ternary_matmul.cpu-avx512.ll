target triple = "x86_64-unknown-linux-gnu"

define void @"ternary_matmul"(ptr noundef %args, i64 noundef %begin, i64 noundef %end) #0 {
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
  %v10 = getelementptr inbounds i64, ptr %args, i64 5
  %v11 = load i32, ptr %v10, align 8, !noundef !1, !invariant.load !1
  %v12 = alloca [128 x i8], align 64
  br label %programs
programs:
  %program64 = phi i64 [ %begin, %entry ], [ %following, %finished ]
  %more = icmp slt i64 %program64, %end
  br i1 %more, label %start, label %return
start:
  %program = trunc i64 %program64 to i32
  %v13 = add i32 %v7, 1
  %v14 = sdiv i32 %v13, 2
  %v15 = icmp eq i32 %v14, 0
  %v16 = icmp eq i32 %program, -2147483648
  %v17 = icmp eq i32 %v14, -1
  %v18 = and i1 %v16, %v17
  %v19 = or i1 %v15, %v18
  %v20 = select i1 %v19, i32 1, i32 %v14
  %v21 = srem i32 %program, %v20
  %v22 = icmp eq i32 %v14, 0
  %v23 = icmp eq i32 %program, -2147483648
  %v24 = icmp eq i32 %v14, -1
  %v25 = and i1 %v23, %v24
  %v26 = or i1 %v22, %v25
  %v27 = select i1 %v26, i32 1, i32 %v14
  %v28 = sdiv i32 %program, %v27
  %v29 = mul i32 %v21, 2
  %v30 = mul i32 %v28, 16
  %v31 = sdiv i32 %v9, 16
  %v32 = mul i32 %v31, 16
  br label %loop0
loop0:
  %i0 = phi i32 [ 0, %start ], [ %next0, %body0 ]
  %v33 = phi <16 x i32> [ splat (i32 0), %start ], [ %v149, %body0 ]
  %v34 = phi <16 x i32> [ splat (i32 0), %start ], [ %v157, %body0 ]
  %v35 = phi <16 x i32> [ splat (i32 0), %start ], [ %v161, %body0 ]
  %v36 = phi <16 x i32> [ splat (i32 0), %start ], [ %v165, %body0 ]
  %more0 = icmp slt i32 %i0, %v32
  br i1 %more0, label %body0, label %after0
body0:
  %v37 = sext i32 %i0 to i64
  %v38 = sext i32 %v9 to i64
  %v39 = sext i32 %v29 to i64
  %v40 = mul i64 %v38, %v39
  %v41 = add i64 %v37, %v40
  %v42 = add i32 %v29, 1
  %v43 = add i32 %v29, 1
  %v44 = icmp slt i32 %v43, %v7
  %v45 = select i1 %v44, i32 %v42, i32 %v29
  %v46 = sext i32 %v45 to i64
  %v47 = mul i64 %v38, %v46
  %v48 = add i64 %v37, %v47
  %v49 = sdiv i64 %v37, 16
  %v50 = sext i32 %v30 to i64
  %v51 = insertelement <16 x i32> poison, i32 %v11, i64 0
  %v52 = shufflevector <16 x i32> %v51, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v53 = insertelement <16 x i32> poison, i32 %v30, i64 0
  %v54 = shufflevector <16 x i32> %v53, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v55 = add <16 x i32> %v54, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v56 = icmp slt <16 x i32> %v55, %v52
  %v57 = sext i32 %v11 to i64
  %v58 = add i64 %v57, 15
  %v59 = sdiv i64 %v58, 16
  %v60 = mul i64 %v59, 16
  %v61 = sub i64 %v60, 16
  %v62 = call i64 @llvm.smin.i64(i64 %v50, i64 %v61)
  %v63 = add i64 %v38, 15
  %v64 = sdiv i64 %v63, 16
  %v65 = and i64 4, 63
  %v66 = ashr i64 %v62, %v65
  %v67 = mul i64 %v66, %v64
  %v68 = add i64 %v67, 0
  %v69 = mul i64 %v68, 16
  %v70 = and i64 %v62, 15
  %v71 = add i64 %v69, %v70
  %v72 = mul i64 %v49, 16
  %v73 = add i64 %v71, %v72
  %v74 = mul i64 0, 16
  %v75 = add i64 %v73, %v74
  %v76 = getelementptr inbounds i32, ptr %v3, i64 %v75
  %v77 = load <16 x i32>, ptr %v76, align 4, !alias.scope !8, !noalias !9
  %v78 = add i64 %v41, 0
  %v79 = add i64 %v48, 0
  %v80 = and <16 x i32> %v77, splat (i32 50529027)
  %v81 = bitcast <16 x i32> %v80 to <64 x i8>
  %v82 = add i64 %v78, 0
  %v83 = getelementptr inbounds i8, ptr %v1, i64 %v82
  %v84 = load <4 x i8>, ptr %v83, align 1, !alias.scope !6, !noalias !7
  %v85 = bitcast <4 x i8> %v84 to i32
  %v86 = insertelement <16 x i32> poison, i32 %v85, i64 0
  %v87 = shufflevector <16 x i32> %v86, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v88 = bitcast <16 x i32> %v87 to <64 x i8>
  %v89 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v33, <64 x i8> %v81, <64 x i8> %v88)
  %v90 = add i64 %v79, 0
  %v91 = getelementptr inbounds i8, ptr %v1, i64 %v90
  %v92 = load <4 x i8>, ptr %v91, align 1, !alias.scope !6, !noalias !7
  %v93 = bitcast <4 x i8> %v92 to i32
  %v94 = insertelement <16 x i32> poison, i32 %v93, i64 0
  %v95 = shufflevector <16 x i32> %v94, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v96 = bitcast <16 x i32> %v95 to <64 x i8>
  %v97 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v34, <64 x i8> %v81, <64 x i8> %v96)
  %v98 = and <16 x i32> splat (i32 2), splat (i32 31)
  %v99 = lshr <16 x i32> %v77, %v98
  %v100 = and <16 x i32> %v99, splat (i32 50529027)
  %v101 = bitcast <16 x i32> %v100 to <64 x i8>
  %v102 = add i64 %v78, 4
  %v103 = getelementptr inbounds i8, ptr %v1, i64 %v102
  %v104 = load <4 x i8>, ptr %v103, align 1, !alias.scope !6, !noalias !7
  %v105 = bitcast <4 x i8> %v104 to i32
  %v106 = insertelement <16 x i32> poison, i32 %v105, i64 0
  %v107 = shufflevector <16 x i32> %v106, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v108 = bitcast <16 x i32> %v107 to <64 x i8>
  %v109 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v89, <64 x i8> %v101, <64 x i8> %v108)
  %v110 = add i64 %v79, 4
  %v111 = getelementptr inbounds i8, ptr %v1, i64 %v110
  %v112 = load <4 x i8>, ptr %v111, align 1, !alias.scope !6, !noalias !7
  %v113 = bitcast <4 x i8> %v112 to i32
  %v114 = insertelement <16 x i32> poison, i32 %v113, i64 0
  %v115 = shufflevector <16 x i32> %v114, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v116 = bitcast <16 x i32> %v115 to <64 x i8>
  %v117 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v97, <64 x i8> %v101, <64 x i8> %v116)
  %v118 = and <16 x i32> splat (i32 4), splat (i32 31)
  %v119 = lshr <16 x i32> %v77, %v118
  %v120 = and <16 x i32> %v119, splat (i32 50529027)
  %v121 = bitcast <16 x i32> %v120 to <64 x i8>
  %v122 = add i64 %v78, 8
  %v123 = getelementptr inbounds i8, ptr %v1, i64 %v122
  %v124 = load <4 x i8>, ptr %v123, align 1, !alias.scope !6, !noalias !7
  %v125 = bitcast <4 x i8> %v124 to i32
  %v126 = insertelement <16 x i32> poison, i32 %v125, i64 0
  %v127 = shufflevector <16 x i32> %v126, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v128 = bitcast <16 x i32> %v127 to <64 x i8>
  %v129 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v109, <64 x i8> %v121, <64 x i8> %v128)
  %v130 = add i64 %v79, 8
  %v131 = getelementptr inbounds i8, ptr %v1, i64 %v130
  %v132 = load <4 x i8>, ptr %v131, align 1, !alias.scope !6, !noalias !7
  %v133 = bitcast <4 x i8> %v132 to i32
  %v134 = insertelement <16 x i32> poison, i32 %v133, i64 0
  %v135 = shufflevector <16 x i32> %v134, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v136 = bitcast <16 x i32> %v135 to <64 x i8>
  %v137 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v117, <64 x i8> %v121, <64 x i8> %v136)
  %v138 = and <16 x i32> splat (i32 6), splat (i32 31)
  %v139 = lshr <16 x i32> %v77, %v138
  %v140 = and <16 x i32> %v139, splat (i32 50529027)
  %v141 = bitcast <16 x i32> %v140 to <64 x i8>
  %v142 = add i64 %v78, 12
  %v143 = getelementptr inbounds i8, ptr %v1, i64 %v142
  %v144 = load <4 x i8>, ptr %v143, align 1, !alias.scope !6, !noalias !7
  %v145 = bitcast <4 x i8> %v144 to i32
  %v146 = insertelement <16 x i32> poison, i32 %v145, i64 0
  %v147 = shufflevector <16 x i32> %v146, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v148 = bitcast <16 x i32> %v147 to <64 x i8>
  %v149 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v129, <64 x i8> %v141, <64 x i8> %v148)
  %v150 = add i64 %v79, 12
  %v151 = getelementptr inbounds i8, ptr %v1, i64 %v150
  %v152 = load <4 x i8>, ptr %v151, align 1, !alias.scope !6, !noalias !7
  %v153 = bitcast <4 x i8> %v152 to i32
  %v154 = insertelement <16 x i32> poison, i32 %v153, i64 0
  %v155 = shufflevector <16 x i32> %v154, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v156 = bitcast <16 x i32> %v155 to <64 x i8>
  %v157 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v137, <64 x i8> %v141, <64 x i8> %v156)
  %v158 = add i64 %v41, 0
  %v159 = getelementptr inbounds i8, ptr %v1, i64 %v158
  %v160 = call <64 x i8> @llvm.masked.load.v64i8.p0(ptr align 1 %v159, <64 x i1> <i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false>, <64 x i8> zeroinitializer), !alias.scope !6, !noalias !7
  %v161 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v35, <64 x i8> splat (i8 1), <64 x i8> %v160)
  %v162 = add i64 %v48, 0
  %v163 = getelementptr inbounds i8, ptr %v1, i64 %v162
  %v164 = call <64 x i8> @llvm.masked.load.v64i8.p0(ptr align 1 %v163, <64 x i1> <i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false>, <64 x i8> zeroinitializer), !alias.scope !6, !noalias !7
  %v165 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v36, <64 x i8> splat (i8 1), <64 x i8> %v164)
  %next0 = add nsw i32 %i0, 16
  br label %loop0
after0:
  br label %loop1
loop1:
  %i1 = phi i32 [ %v32, %after0 ], [ %next1, %body1 ]
  %v166 = phi <16 x i32> [ %v33, %after0 ], [ %v306, %body1 ]
  %v167 = phi <16 x i32> [ %v34, %after0 ], [ %v314, %body1 ]
  %v168 = phi <16 x i32> [ %v35, %after0 ], [ %v318, %body1 ]
  %v169 = phi <16 x i32> [ %v36, %after0 ], [ %v322, %body1 ]
  %more1 = icmp slt i32 %i1, %v9
  br i1 %more1, label %body1, label %after1
body1:
  %v170 = insertelement <16 x i32> poison, i32 %v9, i64 0
  %v171 = shufflevector <16 x i32> %v170, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v172 = insertelement <16 x i32> poison, i32 %i1, i64 0
  %v173 = shufflevector <16 x i32> %v172, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v174 = add <16 x i32> %v173, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v175 = icmp slt <16 x i32> %v174, %v171
  %v176 = sext i32 %i1 to i64
  %v177 = sext i32 %v9 to i64
  %v178 = sext i32 %v29 to i64
  %v179 = mul i64 %v177, %v178
  %v180 = add i64 %v176, %v179
  %v181 = getelementptr inbounds i8, ptr %v1, i64 %v180
  %v182 = call <16 x i8> @llvm.masked.load.v16i8.p0(ptr align 1 %v181, <16 x i1> %v175, <16 x i8> zeroinitializer), !alias.scope !6, !noalias !7
  %v183 = add i32 %v29, 1
  %v184 = add i32 %v29, 1
  %v185 = icmp slt i32 %v184, %v7
  %v186 = select i1 %v185, i32 %v183, i32 %v29
  %v187 = sext i32 %v186 to i64
  %v188 = mul i64 %v177, %v187
  %v189 = add i64 %v176, %v188
  %v190 = getelementptr inbounds i8, ptr %v1, i64 %v189
  %v191 = call <16 x i8> @llvm.masked.load.v16i8.p0(ptr align 1 %v190, <16 x i1> %v175, <16 x i8> zeroinitializer), !alias.scope !6, !noalias !7
  %v192 = select <16 x i1> %v175, <16 x i8> %v182, <16 x i8> splat (i8 0)
  %v193 = getelementptr inbounds i8, ptr %v12, i64 0
  store <16 x i8> %v192, ptr %v193, align 1
  %v194 = getelementptr inbounds i8, ptr %v12, i64 16
  store <16 x i8> splat (i8 0), ptr %v194, align 1
  %v195 = getelementptr inbounds i8, ptr %v12, i64 32
  store <16 x i8> splat (i8 0), ptr %v195, align 1
  %v196 = getelementptr inbounds i8, ptr %v12, i64 48
  store <16 x i8> splat (i8 0), ptr %v196, align 1
  %v197 = select <16 x i1> %v175, <16 x i8> %v191, <16 x i8> splat (i8 0)
  %v198 = getelementptr inbounds i8, ptr %v12, i64 64
  store <16 x i8> %v197, ptr %v198, align 1
  %v199 = getelementptr inbounds i8, ptr %v12, i64 80
  store <16 x i8> splat (i8 0), ptr %v199, align 1
  %v200 = getelementptr inbounds i8, ptr %v12, i64 96
  store <16 x i8> splat (i8 0), ptr %v200, align 1
  %v201 = getelementptr inbounds i8, ptr %v12, i64 112
  store <16 x i8> splat (i8 0), ptr %v201, align 1
  %v202 = sdiv i64 %v176, 16
  %v203 = sext i32 %v30 to i64
  %v204 = insertelement <16 x i32> poison, i32 %v11, i64 0
  %v205 = shufflevector <16 x i32> %v204, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v206 = insertelement <16 x i32> poison, i32 %v30, i64 0
  %v207 = shufflevector <16 x i32> %v206, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v208 = add <16 x i32> %v207, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v209 = icmp slt <16 x i32> %v208, %v205
  %v210 = sext i32 %v11 to i64
  %v211 = add i64 %v210, 15
  %v212 = sdiv i64 %v211, 16
  %v213 = mul i64 %v212, 16
  %v214 = sub i64 %v213, 16
  %v215 = call i64 @llvm.smin.i64(i64 %v203, i64 %v214)
  %v216 = add i64 %v177, 15
  %v217 = sdiv i64 %v216, 16
  %v218 = and i64 4, 63
  %v219 = ashr i64 %v215, %v218
  %v220 = mul i64 %v219, %v217
  %v221 = add i64 %v220, 0
  %v222 = mul i64 %v221, 16
  %v223 = and i64 %v215, 15
  %v224 = add i64 %v222, %v223
  %v225 = mul i64 %v202, 16
  %v226 = add i64 %v224, %v225
  %v227 = sdiv i64 %v176, 16
  %v228 = add i64 %v227, 1
  %v229 = sub i64 %v217, %v228
  %v230 = call i64 @llvm.smin.i64(i64 0, i64 %v229)
  %v231 = mul i64 %v230, 16
  %v232 = add i64 %v226, %v231
  %v233 = getelementptr inbounds i32, ptr %v3, i64 %v232
  %v234 = load <16 x i32>, ptr %v233, align 4, !alias.scope !8, !noalias !9
  %v235 = add i64 0, 0
  %v236 = add i64 64, 0
  %v237 = and <16 x i32> %v234, splat (i32 50529027)
  %v238 = bitcast <16 x i32> %v237 to <64 x i8>
  %v239 = add i64 %v235, 0
  %v240 = getelementptr inbounds i8, ptr %v12, i64 %v239
  %v241 = load <4 x i8>, ptr %v240, align 1
  %v242 = bitcast <4 x i8> %v241 to i32
  %v243 = insertelement <16 x i32> poison, i32 %v242, i64 0
  %v244 = shufflevector <16 x i32> %v243, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v245 = bitcast <16 x i32> %v244 to <64 x i8>
  %v246 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v166, <64 x i8> %v238, <64 x i8> %v245)
  %v247 = add i64 %v236, 0
  %v248 = getelementptr inbounds i8, ptr %v12, i64 %v247
  %v249 = load <4 x i8>, ptr %v248, align 1
  %v250 = bitcast <4 x i8> %v249 to i32
  %v251 = insertelement <16 x i32> poison, i32 %v250, i64 0
  %v252 = shufflevector <16 x i32> %v251, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v253 = bitcast <16 x i32> %v252 to <64 x i8>
  %v254 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v167, <64 x i8> %v238, <64 x i8> %v253)
  %v255 = and <16 x i32> splat (i32 2), splat (i32 31)
  %v256 = lshr <16 x i32> %v234, %v255
  %v257 = and <16 x i32> %v256, splat (i32 50529027)
  %v258 = bitcast <16 x i32> %v257 to <64 x i8>
  %v259 = add i64 %v235, 4
  %v260 = getelementptr inbounds i8, ptr %v12, i64 %v259
  %v261 = load <4 x i8>, ptr %v260, align 1
  %v262 = bitcast <4 x i8> %v261 to i32
  %v263 = insertelement <16 x i32> poison, i32 %v262, i64 0
  %v264 = shufflevector <16 x i32> %v263, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v265 = bitcast <16 x i32> %v264 to <64 x i8>
  %v266 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v246, <64 x i8> %v258, <64 x i8> %v265)
  %v267 = add i64 %v236, 4
  %v268 = getelementptr inbounds i8, ptr %v12, i64 %v267
  %v269 = load <4 x i8>, ptr %v268, align 1
  %v270 = bitcast <4 x i8> %v269 to i32
  %v271 = insertelement <16 x i32> poison, i32 %v270, i64 0
  %v272 = shufflevector <16 x i32> %v271, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v273 = bitcast <16 x i32> %v272 to <64 x i8>
  %v274 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v254, <64 x i8> %v258, <64 x i8> %v273)
  %v275 = and <16 x i32> splat (i32 4), splat (i32 31)
  %v276 = lshr <16 x i32> %v234, %v275
  %v277 = and <16 x i32> %v276, splat (i32 50529027)
  %v278 = bitcast <16 x i32> %v277 to <64 x i8>
  %v279 = add i64 %v235, 8
  %v280 = getelementptr inbounds i8, ptr %v12, i64 %v279
  %v281 = load <4 x i8>, ptr %v280, align 1
  %v282 = bitcast <4 x i8> %v281 to i32
  %v283 = insertelement <16 x i32> poison, i32 %v282, i64 0
  %v284 = shufflevector <16 x i32> %v283, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v285 = bitcast <16 x i32> %v284 to <64 x i8>
  %v286 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v266, <64 x i8> %v278, <64 x i8> %v285)
  %v287 = add i64 %v236, 8
  %v288 = getelementptr inbounds i8, ptr %v12, i64 %v287
  %v289 = load <4 x i8>, ptr %v288, align 1
  %v290 = bitcast <4 x i8> %v289 to i32
  %v291 = insertelement <16 x i32> poison, i32 %v290, i64 0
  %v292 = shufflevector <16 x i32> %v291, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v293 = bitcast <16 x i32> %v292 to <64 x i8>
  %v294 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v274, <64 x i8> %v278, <64 x i8> %v293)
  %v295 = and <16 x i32> splat (i32 6), splat (i32 31)
  %v296 = lshr <16 x i32> %v234, %v295
  %v297 = and <16 x i32> %v296, splat (i32 50529027)
  %v298 = bitcast <16 x i32> %v297 to <64 x i8>
  %v299 = add i64 %v235, 12
  %v300 = getelementptr inbounds i8, ptr %v12, i64 %v299
  %v301 = load <4 x i8>, ptr %v300, align 1
  %v302 = bitcast <4 x i8> %v301 to i32
  %v303 = insertelement <16 x i32> poison, i32 %v302, i64 0
  %v304 = shufflevector <16 x i32> %v303, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v305 = bitcast <16 x i32> %v304 to <64 x i8>
  %v306 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v286, <64 x i8> %v298, <64 x i8> %v305)
  %v307 = add i64 %v236, 12
  %v308 = getelementptr inbounds i8, ptr %v12, i64 %v307
  %v309 = load <4 x i8>, ptr %v308, align 1
  %v310 = bitcast <4 x i8> %v309 to i32
  %v311 = insertelement <16 x i32> poison, i32 %v310, i64 0
  %v312 = shufflevector <16 x i32> %v311, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v313 = bitcast <16 x i32> %v312 to <64 x i8>
  %v314 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v294, <64 x i8> %v298, <64 x i8> %v313)
  %v315 = add i64 0, 0
  %v316 = getelementptr inbounds i8, ptr %v12, i64 %v315
  %v317 = call <64 x i8> @llvm.masked.load.v64i8.p0(ptr align 1 %v316, <64 x i1> <i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false>, <64 x i8> zeroinitializer)
  %v318 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v168, <64 x i8> splat (i8 1), <64 x i8> %v317)
  %v319 = add i64 64, 0
  %v320 = getelementptr inbounds i8, ptr %v12, i64 %v319
  %v321 = call <64 x i8> @llvm.masked.load.v64i8.p0(ptr align 1 %v320, <64 x i1> <i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 true, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false, i1 false>, <64 x i8> zeroinitializer)
  %v322 = call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %v169, <64 x i8> splat (i8 1), <64 x i8> %v321)
  %next1 = add nsw i32 %i1, 16
  br label %loop1
after1:
  %v323 = call i32 @llvm.vector.reduce.add.v16i32(<16 x i32> %v168)
  %v324 = insertelement <16 x i32> poison, i32 %v323, i64 0
  %v325 = shufflevector <16 x i32> %v324, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v326 = call i32 @llvm.vector.reduce.add.v16i32(<16 x i32> %v169)
  %v327 = insertelement <16 x i32> poison, i32 %v326, i64 0
  %v328 = shufflevector <16 x i32> %v327, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v329 = sub <16 x i32> %v166, %v325
  %v330 = sub <16 x i32> %v167, %v328
  %v331 = insertelement <16 x i32> poison, i32 %v11, i64 0
  %v332 = shufflevector <16 x i32> %v331, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v333 = insertelement <16 x i32> poison, i32 %v30, i64 0
  %v334 = shufflevector <16 x i32> %v333, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v335 = add <16 x i32> %v334, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v336 = icmp slt <16 x i32> %v335, %v332
  %v337 = sext i32 %v30 to i64
  %v338 = sext i32 %v29 to i64
  %v339 = sext i32 %v11 to i64
  %v340 = mul i64 %v338, %v339
  %v341 = add i64 %v337, %v340
  %v342 = getelementptr inbounds i32, ptr %v5, i64 %v341
  call void @llvm.masked.store.v16i32.p0(<16 x i32> %v329, ptr align 4 %v342, <16 x i1> %v336), !alias.scope !10, !noalias !11
  %v343 = add i32 %v29, 1
  %v344 = add i32 %v29, 1
  %v345 = icmp slt i32 %v344, %v7
  %v346 = select i1 %v345, i32 %v343, i32 %v29
  %v347 = sext i32 %v346 to i64
  %v348 = mul i64 %v347, %v339
  %v349 = add i64 %v337, %v348
  %v350 = getelementptr inbounds i32, ptr %v5, i64 %v349
  call void @llvm.masked.store.v16i32.p0(<16 x i32> %v330, ptr align 4 %v350, <16 x i1> %v336), !alias.scope !10, !noalias !11
  br label %finished
finished:
  %following = add nuw nsw i64 %program64, 1
  br label %programs
return:
  ret void
}

declare <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <64 x i8>, <64 x i8>)
declare <16 x i8> @llvm.masked.load.v16i8.p0(ptr, <16 x i1>, <16 x i8>)
declare <64 x i8> @llvm.masked.load.v64i8.p0(ptr, <64 x i1>, <64 x i8>)
declare i32 @llvm.vector.reduce.add.v16i32(<16 x i32>)
declare i64 @llvm.smin.i64(i64, i64)
declare void @llvm.masked.store.v16i32.p0(<16 x i32>, ptr, <16 x i1>)

attributes #0 = { nounwind "target-cpu"="x86-64-v4" "target-features"="+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+avx512vnni" "prefer-vector-width"="512" }
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
