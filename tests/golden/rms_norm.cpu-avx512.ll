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
  %v12 = phi <16 x float> [ splat (float 0x0000000000000000), %start ], [ %v31, %body0 ]
  %more0 = icmp slt i32 %i0, %v11
  br i1 %more0, label %body0, label %after0
body0:
  %v13 = sext i32 %i0 to i64
  %v14 = sext i32 %v9 to i64
  %v15 = sext i32 %program to i64
  %v16 = mul i64 %v14, %v15
  %v17 = add i64 %v13, %v16
  %v18 = getelementptr inbounds float, ptr %v1, i64 %v17
  %v19 = load <16 x float>, ptr %v18, align 4, !alias.scope !6, !noalias !7
  %v20 = add i64 %v17, 16
  %v21 = getelementptr inbounds float, ptr %v1, i64 %v20
  %v22 = load <16 x float>, ptr %v21, align 4, !alias.scope !6, !noalias !7
  %v23 = getelementptr inbounds float, ptr %v1, i64 %v17
  %v24 = load <16 x float>, ptr %v23, align 4, !alias.scope !6, !noalias !7
  %v25 = add i64 %v17, 16
  %v26 = getelementptr inbounds float, ptr %v1, i64 %v25
  %v27 = load <16 x float>, ptr %v26, align 4, !alias.scope !6, !noalias !7
  %v28 = fmul contract <16 x float> %v19, %v24
  %v29 = fmul contract <16 x float> %v22, %v27
  %v30 = fadd contract <16 x float> %v28, %v29
  %v31 = fadd contract <16 x float> %v12, %v30
  %next0 = add nsw i32 %i0, 32
  br label %loop0
after0:
  br label %loop1
loop1:
  %i1 = phi i32 [ %v11, %after0 ], [ %next1, %body1 ]
  %v32 = phi <16 x float> [ %v12, %after0 ], [ %v65, %body1 ]
  %more1 = icmp slt i32 %i1, %v9
  br i1 %more1, label %body1, label %after1
body1:
  %v33 = insertelement <16 x i32> poison, i32 %v9, i64 0
  %v34 = shufflevector <16 x i32> %v33, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v35 = insertelement <16 x i32> poison, i32 %i1, i64 0
  %v36 = shufflevector <16 x i32> %v35, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v37 = add <16 x i32> %v36, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v38 = icmp slt <16 x i32> %v37, %v34
  %v39 = sext i32 %i1 to i64
  %v40 = sext i32 %v9 to i64
  %v41 = sext i32 %program to i64
  %v42 = mul i64 %v40, %v41
  %v43 = add i64 %v39, %v42
  %v44 = getelementptr inbounds float, ptr %v1, i64 %v43
  %v45 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v44, <16 x i1> %v38, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v46 = insertelement <16 x i32> poison, i32 %v9, i64 0
  %v47 = shufflevector <16 x i32> %v46, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v48 = insertelement <16 x i32> poison, i32 %i1, i64 0
  %v49 = shufflevector <16 x i32> %v48, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v50 = add <16 x i32> %v49, <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v51 = icmp slt <16 x i32> %v50, %v47
  %v52 = add i64 %v43, 16
  %v53 = getelementptr inbounds float, ptr %v1, i64 %v52
  %v54 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v53, <16 x i1> %v51, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v55 = getelementptr inbounds float, ptr %v1, i64 %v43
  %v56 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v55, <16 x i1> %v38, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v57 = add i64 %v43, 16
  %v58 = getelementptr inbounds float, ptr %v1, i64 %v57
  %v59 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v58, <16 x i1> %v51, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v60 = fmul contract <16 x float> %v45, %v56
  %v61 = fmul contract <16 x float> %v54, %v59
  %v62 = select <16 x i1> %v38, <16 x float> %v60, <16 x float> splat (float 0x0000000000000000)
  %v63 = select <16 x i1> %v51, <16 x float> %v61, <16 x float> splat (float 0x0000000000000000)
  %v64 = fadd contract <16 x float> %v62, %v63
  %v65 = fadd contract <16 x float> %v32, %v64
  %next1 = add nsw i32 %i1, 32
  br label %loop1
after1:
  %v66 = shufflevector <16 x float> %v32, <16 x float> poison, <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v67 = shufflevector <16 x float> %v32, <16 x float> poison, <8 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v68 = fadd contract <8 x float> %v66, %v67
  %v69 = shufflevector <8 x float> %v68, <8 x float> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
  %v70 = shufflevector <8 x float> %v68, <8 x float> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
  %v71 = fadd contract <4 x float> %v69, %v70
  %v72 = shufflevector <4 x float> %v71, <4 x float> poison, <2 x i32> <i32 0, i32 1>
  %v73 = shufflevector <4 x float> %v71, <4 x float> poison, <2 x i32> <i32 2, i32 3>
  %v74 = fadd contract <2 x float> %v72, %v73
  %v75 = extractelement <2 x float> %v74, i64 0
  %v76 = extractelement <2 x float> %v74, i64 1
  %v77 = fadd contract float %v75, %v76
  %v78 = fadd contract float 0x0000000000000000, %v77
  %v79 = sitofp i32 %v9 to float
  %v80 = fdiv float %v78, %v79
  %v81 = fadd contract float %v80, 0x3EE4F8B580000000
  %v82 = call float @llvm.sqrt.f32(float %v81)
  %v83 = fdiv float 0x3FF0000000000000, %v82
  %v84 = sdiv i32 %v9, 32
  %v85 = mul i32 %v84, 32
  br label %loop2
loop2:
  %i2 = phi i32 [ 0, %after1 ], [ %next2, %body2 ]
  %more2 = icmp slt i32 %i2, %v85
  br i1 %more2, label %body2, label %after2
body2:
  %v86 = sext i32 %i2 to i64
  %v87 = sext i32 %v9 to i64
  %v88 = sext i32 %program to i64
  %v89 = mul i64 %v87, %v88
  %v90 = add i64 %v86, %v89
  %v91 = getelementptr inbounds float, ptr %v1, i64 %v90
  %v92 = load <16 x float>, ptr %v91, align 4, !alias.scope !6, !noalias !7
  %v93 = add i64 %v90, 16
  %v94 = getelementptr inbounds float, ptr %v1, i64 %v93
  %v95 = load <16 x float>, ptr %v94, align 4, !alias.scope !6, !noalias !7
  %v96 = insertelement <16 x float> poison, float %v83, i64 0
  %v97 = shufflevector <16 x float> %v96, <16 x float> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v98 = fmul contract <16 x float> %v92, %v97
  %v99 = fmul contract <16 x float> %v95, %v97
  %v100 = getelementptr inbounds float, ptr %v3, i64 %v86
  %v101 = load <16 x float>, ptr %v100, align 4, !alias.scope !8, !noalias !9
  %v102 = add i64 %v86, 16
  %v103 = getelementptr inbounds float, ptr %v3, i64 %v102
  %v104 = load <16 x float>, ptr %v103, align 4, !alias.scope !8, !noalias !9
  %v105 = fmul contract <16 x float> %v98, %v101
  %v106 = fmul contract <16 x float> %v99, %v104
  %v107 = getelementptr inbounds float, ptr %v5, i64 %v90
  store <16 x float> %v105, ptr %v107, align 4, !alias.scope !10, !noalias !11
  %v108 = add i64 %v90, 16
  %v109 = getelementptr inbounds float, ptr %v5, i64 %v108
  store <16 x float> %v106, ptr %v109, align 4, !alias.scope !10, !noalias !11
  %next2 = add nsw i32 %i2, 32
  br label %loop2
after2:
  br label %loop3
loop3:
  %i3 = phi i32 [ %v85, %after2 ], [ %next3, %body3 ]
  %more3 = icmp slt i32 %i3, %v9
  br i1 %more3, label %body3, label %after3
body3:
  %v110 = insertelement <16 x i32> poison, i32 %v9, i64 0
  %v111 = shufflevector <16 x i32> %v110, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v112 = insertelement <16 x i32> poison, i32 %i3, i64 0
  %v113 = shufflevector <16 x i32> %v112, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v114 = add <16 x i32> %v113, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v115 = icmp slt <16 x i32> %v114, %v111
  %v116 = sext i32 %i3 to i64
  %v117 = sext i32 %v9 to i64
  %v118 = sext i32 %program to i64
  %v119 = mul i64 %v117, %v118
  %v120 = add i64 %v116, %v119
  %v121 = getelementptr inbounds float, ptr %v1, i64 %v120
  %v122 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v121, <16 x i1> %v115, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v123 = insertelement <16 x i32> poison, i32 %v9, i64 0
  %v124 = shufflevector <16 x i32> %v123, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v125 = insertelement <16 x i32> poison, i32 %i3, i64 0
  %v126 = shufflevector <16 x i32> %v125, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v127 = add <16 x i32> %v126, <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v128 = icmp slt <16 x i32> %v127, %v124
  %v129 = add i64 %v120, 16
  %v130 = getelementptr inbounds float, ptr %v1, i64 %v129
  %v131 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v130, <16 x i1> %v128, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v132 = insertelement <16 x float> poison, float %v83, i64 0
  %v133 = shufflevector <16 x float> %v132, <16 x float> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v134 = fmul contract <16 x float> %v122, %v133
  %v135 = fmul contract <16 x float> %v131, %v133
  %v136 = getelementptr inbounds float, ptr %v3, i64 %v116
  %v137 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v136, <16 x i1> %v115, <16 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v138 = add i64 %v116, 16
  %v139 = getelementptr inbounds float, ptr %v3, i64 %v138
  %v140 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v139, <16 x i1> %v128, <16 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v141 = fmul contract <16 x float> %v134, %v137
  %v142 = fmul contract <16 x float> %v135, %v140
  %v143 = getelementptr inbounds float, ptr %v5, i64 %v120
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v141, ptr align 4 %v143, <16 x i1> %v115), !alias.scope !10, !noalias !11
  %v144 = add i64 %v120, 16
  %v145 = getelementptr inbounds float, ptr %v5, i64 %v144
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v142, ptr align 4 %v145, <16 x i1> %v128), !alias.scope !10, !noalias !11
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

declare <16 x float> @llvm.masked.load.v16f32.p0(ptr, <16 x i1>, <16 x float>)
declare float @llvm.sqrt.f32(float)
declare void @llvm.masked.store.v16f32.p0(<16 x float>, ptr, <16 x i1>)

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
