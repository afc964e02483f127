target triple = "aarch64-unknown-linux-gnu"

define void @"add"(ptr noundef %args, i64 noundef %begin, i64 noundef %end) #0 {
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
  %v10 = add i32 %v9, 31
  %v11 = sdiv i32 %v10, 32
  %v12 = icmp eq i32 %v11, 0
  %v13 = icmp eq i32 %program, -2147483648
  %v14 = icmp eq i32 %v11, -1
  %v15 = and i1 %v13, %v14
  %v16 = or i1 %v12, %v15
  %v17 = select i1 %v16, i32 1, i32 %v11
  %v18 = srem i32 %program, %v17
  %v19 = icmp eq i32 %v11, 0
  %v20 = icmp eq i32 %program, -2147483648
  %v21 = icmp eq i32 %v11, -1
  %v22 = and i1 %v20, %v21
  %v23 = or i1 %v19, %v22
  %v24 = select i1 %v23, i32 1, i32 %v11
  %v25 = sdiv i32 %program, %v24
  %v26 = mul i32 %v18, 32
  %v27 = mul i32 %v25, 2
  %v28 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v29 = shufflevector <4 x i32> %v28, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v30 = insertelement <4 x i32> poison, i32 %v26, i64 0
  %v31 = shufflevector <4 x i32> %v30, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v32 = add <4 x i32> %v31, <i32 0, i32 1, i32 2, i32 3>
  %v33 = icmp slt <4 x i32> %v32, %v29
  %v34 = sext i32 %v26 to i64
  %v35 = sext i32 %v9 to i64
  %v36 = sext i32 %v27 to i64
  %v37 = mul i64 %v35, %v36
  %v38 = add i64 %v34, %v37
  %v39 = getelementptr inbounds float, ptr %v1, i64 %v38
  %v40 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v39, <4 x i1> %v33, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v41 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v42 = shufflevector <4 x i32> %v41, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v43 = insertelement <4 x i32> poison, i32 %v26, i64 0
  %v44 = shufflevector <4 x i32> %v43, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v45 = add <4 x i32> %v44, <i32 4, i32 5, i32 6, i32 7>
  %v46 = icmp slt <4 x i32> %v45, %v42
  %v47 = add i64 %v38, 4
  %v48 = getelementptr inbounds float, ptr %v1, i64 %v47
  %v49 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v48, <4 x i1> %v46, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v50 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v51 = shufflevector <4 x i32> %v50, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v52 = insertelement <4 x i32> poison, i32 %v26, i64 0
  %v53 = shufflevector <4 x i32> %v52, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v54 = add <4 x i32> %v53, <i32 8, i32 9, i32 10, i32 11>
  %v55 = icmp slt <4 x i32> %v54, %v51
  %v56 = add i64 %v38, 8
  %v57 = getelementptr inbounds float, ptr %v1, i64 %v56
  %v58 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v57, <4 x i1> %v55, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v59 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v60 = shufflevector <4 x i32> %v59, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v61 = insertelement <4 x i32> poison, i32 %v26, i64 0
  %v62 = shufflevector <4 x i32> %v61, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v63 = add <4 x i32> %v62, <i32 12, i32 13, i32 14, i32 15>
  %v64 = icmp slt <4 x i32> %v63, %v60
  %v65 = add i64 %v38, 12
  %v66 = getelementptr inbounds float, ptr %v1, i64 %v65
  %v67 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v66, <4 x i1> %v64, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v68 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v69 = shufflevector <4 x i32> %v68, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v70 = insertelement <4 x i32> poison, i32 %v26, i64 0
  %v71 = shufflevector <4 x i32> %v70, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v72 = add <4 x i32> %v71, <i32 16, i32 17, i32 18, i32 19>
  %v73 = icmp slt <4 x i32> %v72, %v69
  %v74 = add i64 %v38, 16
  %v75 = getelementptr inbounds float, ptr %v1, i64 %v74
  %v76 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v75, <4 x i1> %v73, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v77 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v78 = shufflevector <4 x i32> %v77, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v79 = insertelement <4 x i32> poison, i32 %v26, i64 0
  %v80 = shufflevector <4 x i32> %v79, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v81 = add <4 x i32> %v80, <i32 20, i32 21, i32 22, i32 23>
  %v82 = icmp slt <4 x i32> %v81, %v78
  %v83 = add i64 %v38, 20
  %v84 = getelementptr inbounds float, ptr %v1, i64 %v83
  %v85 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v84, <4 x i1> %v82, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v86 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v87 = shufflevector <4 x i32> %v86, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v88 = insertelement <4 x i32> poison, i32 %v26, i64 0
  %v89 = shufflevector <4 x i32> %v88, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v90 = add <4 x i32> %v89, <i32 24, i32 25, i32 26, i32 27>
  %v91 = icmp slt <4 x i32> %v90, %v87
  %v92 = add i64 %v38, 24
  %v93 = getelementptr inbounds float, ptr %v1, i64 %v92
  %v94 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v93, <4 x i1> %v91, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v95 = insertelement <4 x i32> poison, i32 %v9, i64 0
  %v96 = shufflevector <4 x i32> %v95, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v97 = insertelement <4 x i32> poison, i32 %v26, i64 0
  %v98 = shufflevector <4 x i32> %v97, <4 x i32> poison, <4 x i32> <i32 0, i32 0, i32 0, i32 0>
  %v99 = add <4 x i32> %v98, <i32 28, i32 29, i32 30, i32 31>
  %v100 = icmp slt <4 x i32> %v99, %v96
  %v101 = add i64 %v38, 28
  %v102 = getelementptr inbounds float, ptr %v1, i64 %v101
  %v103 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v102, <4 x i1> %v100, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v104 = add i32 %v27, 1
  %v105 = add i32 %v27, 1
  %v106 = icmp slt i32 %v105, %v7
  %v107 = select i1 %v106, i32 %v104, i32 %v27
  %v108 = sext i32 %v107 to i64
  %v109 = mul i64 %v35, %v108
  %v110 = add i64 %v34, %v109
  %v111 = getelementptr inbounds float, ptr %v1, i64 %v110
  %v112 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v111, <4 x i1> %v33, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v113 = add i64 %v110, 4
  %v114 = getelementptr inbounds float, ptr %v1, i64 %v113
  %v115 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v114, <4 x i1> %v46, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v116 = add i64 %v110, 8
  %v117 = getelementptr inbounds float, ptr %v1, i64 %v116
  %v118 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v117, <4 x i1> %v55, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v119 = add i64 %v110, 12
  %v120 = getelementptr inbounds float, ptr %v1, i64 %v119
  %v121 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v120, <4 x i1> %v64, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v122 = add i64 %v110, 16
  %v123 = getelementptr inbounds float, ptr %v1, i64 %v122
  %v124 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v123, <4 x i1> %v73, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v125 = add i64 %v110, 20
  %v126 = getelementptr inbounds float, ptr %v1, i64 %v125
  %v127 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v126, <4 x i1> %v82, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v128 = add i64 %v110, 24
  %v129 = getelementptr inbounds float, ptr %v1, i64 %v128
  %v130 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v129, <4 x i1> %v91, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v131 = add i64 %v110, 28
  %v132 = getelementptr inbounds float, ptr %v1, i64 %v131
  %v133 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v132, <4 x i1> %v100, <4 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v134 = getelementptr inbounds float, ptr %v3, i64 %v34
  %v135 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v134, <4 x i1> %v33, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v136 = add i64 %v34, 4
  %v137 = getelementptr inbounds float, ptr %v3, i64 %v136
  %v138 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v137, <4 x i1> %v46, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v139 = add i64 %v34, 8
  %v140 = getelementptr inbounds float, ptr %v3, i64 %v139
  %v141 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v140, <4 x i1> %v55, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v142 = add i64 %v34, 12
  %v143 = getelementptr inbounds float, ptr %v3, i64 %v142
  %v144 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v143, <4 x i1> %v64, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v145 = add i64 %v34, 16
  %v146 = getelementptr inbounds float, ptr %v3, i64 %v145
  %v147 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v146, <4 x i1> %v73, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v148 = add i64 %v34, 20
  %v149 = getelementptr inbounds float, ptr %v3, i64 %v148
  %v150 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v149, <4 x i1> %v82, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v151 = add i64 %v34, 24
  %v152 = getelementptr inbounds float, ptr %v3, i64 %v151
  %v153 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v152, <4 x i1> %v91, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v154 = add i64 %v34, 28
  %v155 = getelementptr inbounds float, ptr %v3, i64 %v154
  %v156 = call <4 x float> @llvm.masked.load.v4f32.p0(ptr align 4 %v155, <4 x i1> %v100, <4 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v157 = fadd contract <4 x float> %v40, %v135
  %v158 = fadd contract <4 x float> %v49, %v138
  %v159 = fadd contract <4 x float> %v58, %v141
  %v160 = fadd contract <4 x float> %v67, %v144
  %v161 = fadd contract <4 x float> %v76, %v147
  %v162 = fadd contract <4 x float> %v85, %v150
  %v163 = fadd contract <4 x float> %v94, %v153
  %v164 = fadd contract <4 x float> %v103, %v156
  %v165 = fadd contract <4 x float> %v112, %v135
  %v166 = fadd contract <4 x float> %v115, %v138
  %v167 = fadd contract <4 x float> %v118, %v141
  %v168 = fadd contract <4 x float> %v121, %v144
  %v169 = fadd contract <4 x float> %v124, %v147
  %v170 = fadd contract <4 x float> %v127, %v150
  %v171 = fadd contract <4 x float> %v130, %v153
  %v172 = fadd contract <4 x float> %v133, %v156
  %v173 = getelementptr inbounds float, ptr %v5, i64 %v38
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v157, ptr align 4 %v173, <4 x i1> %v33), !alias.scope !10, !noalias !11
  %v174 = add i64 %v38, 4
  %v175 = getelementptr inbounds float, ptr %v5, i64 %v174
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v158, ptr align 4 %v175, <4 x i1> %v46), !alias.scope !10, !noalias !11
  %v176 = add i64 %v38, 8
  %v177 = getelementptr inbounds float, ptr %v5, i64 %v176
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v159, ptr align 4 %v177, <4 x i1> %v55), !alias.scope !10, !noalias !11
  %v178 = add i64 %v38, 12
  %v179 = getelementptr inbounds float, ptr %v5, i64 %v178
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v160, ptr align 4 %v179, <4 x i1> %v64), !alias.scope !10, !noalias !11
  %v180 = add i64 %v38, 16
  %v181 = getelementptr inbounds float, ptr %v5, i64 %v180
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v161, ptr align 4 %v181, <4 x i1> %v73), !alias.scope !10, !noalias !11
  %v182 = add i64 %v38, 20
  %v183 = getelementptr inbounds float, ptr %v5, i64 %v182
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v162, ptr align 4 %v183, <4 x i1> %v82), !alias.scope !10, !noalias !11
  %v184 = add i64 %v38, 24
  %v185 = getelementptr inbounds float, ptr %v5, i64 %v184
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v163, ptr align 4 %v185, <4 x i1> %v91), !alias.scope !10, !noalias !11
  %v186 = add i64 %v38, 28
  %v187 = getelementptr inbounds float, ptr %v5, i64 %v186
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v164, ptr align 4 %v187, <4 x i1> %v100), !alias.scope !10, !noalias !11
  %v188 = getelementptr inbounds float, ptr %v5, i64 %v110
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v165, ptr align 4 %v188, <4 x i1> %v33), !alias.scope !10, !noalias !11
  %v189 = add i64 %v110, 4
  %v190 = getelementptr inbounds float, ptr %v5, i64 %v189
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v166, ptr align 4 %v190, <4 x i1> %v46), !alias.scope !10, !noalias !11
  %v191 = add i64 %v110, 8
  %v192 = getelementptr inbounds float, ptr %v5, i64 %v191
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v167, ptr align 4 %v192, <4 x i1> %v55), !alias.scope !10, !noalias !11
  %v193 = add i64 %v110, 12
  %v194 = getelementptr inbounds float, ptr %v5, i64 %v193
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v168, ptr align 4 %v194, <4 x i1> %v64), !alias.scope !10, !noalias !11
  %v195 = add i64 %v110, 16
  %v196 = getelementptr inbounds float, ptr %v5, i64 %v195
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v169, ptr align 4 %v196, <4 x i1> %v73), !alias.scope !10, !noalias !11
  %v197 = add i64 %v110, 20
  %v198 = getelementptr inbounds float, ptr %v5, i64 %v197
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v170, ptr align 4 %v198, <4 x i1> %v82), !alias.scope !10, !noalias !11
  %v199 = add i64 %v110, 24
  %v200 = getelementptr inbounds float, ptr %v5, i64 %v199
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v171, ptr align 4 %v200, <4 x i1> %v91), !alias.scope !10, !noalias !11
  %v201 = add i64 %v110, 28
  %v202 = getelementptr inbounds float, ptr %v5, i64 %v201
  call void @llvm.masked.store.v4f32.p0(<4 x float> %v172, ptr align 4 %v202, <4 x i1> %v100), !alias.scope !10, !noalias !11
  br label %finished
finished:
  %following = add nuw nsw i64 %program64, 1
  br label %programs
return:
  ret void
}

declare <4 x float> @llvm.masked.load.v4f32.p0(ptr, <4 x i1>, <4 x float>)
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
