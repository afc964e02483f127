target triple = "x86_64-unknown-linux-gnu"

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
  %v28 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v29 = shufflevector <8 x i32> %v28, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v30 = insertelement <8 x i32> poison, i32 %v26, i64 0
  %v31 = shufflevector <8 x i32> %v30, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v32 = add <8 x i32> %v31, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
  %v33 = icmp slt <8 x i32> %v32, %v29
  %v34 = sext i32 %v26 to i64
  %v35 = sext i32 %v9 to i64
  %v36 = sext i32 %v27 to i64
  %v37 = mul i64 %v35, %v36
  %v38 = add i64 %v34, %v37
  %v39 = getelementptr inbounds float, ptr %v1, i64 %v38
  %v40 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v39, <8 x i1> %v33, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v41 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v42 = shufflevector <8 x i32> %v41, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v43 = insertelement <8 x i32> poison, i32 %v26, i64 0
  %v44 = shufflevector <8 x i32> %v43, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v45 = add <8 x i32> %v44, <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v46 = icmp slt <8 x i32> %v45, %v42
  %v47 = add i64 %v38, 8
  %v48 = getelementptr inbounds float, ptr %v1, i64 %v47
  %v49 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v48, <8 x i1> %v46, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v50 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v51 = shufflevector <8 x i32> %v50, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v52 = insertelement <8 x i32> poison, i32 %v26, i64 0
  %v53 = shufflevector <8 x i32> %v52, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v54 = add <8 x i32> %v53, <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23>
  %v55 = icmp slt <8 x i32> %v54, %v51
  %v56 = add i64 %v38, 16
  %v57 = getelementptr inbounds float, ptr %v1, i64 %v56
  %v58 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v57, <8 x i1> %v55, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v59 = insertelement <8 x i32> poison, i32 %v9, i64 0
  %v60 = shufflevector <8 x i32> %v59, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v61 = insertelement <8 x i32> poison, i32 %v26, i64 0
  %v62 = shufflevector <8 x i32> %v61, <8 x i32> poison, <8 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v63 = add <8 x i32> %v62, <i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v64 = icmp slt <8 x i32> %v63, %v60
  %v65 = add i64 %v38, 24
  %v66 = getelementptr inbounds float, ptr %v1, i64 %v65
  %v67 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v66, <8 x i1> %v64, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v68 = add i32 %v27, 1
  %v69 = add i32 %v27, 1
  %v70 = icmp slt i32 %v69, %v7
  %v71 = select i1 %v70, i32 %v68, i32 %v27
  %v72 = sext i32 %v71 to i64
  %v73 = mul i64 %v35, %v72
  %v74 = add i64 %v34, %v73
  %v75 = getelementptr inbounds float, ptr %v1, i64 %v74
  %v76 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v75, <8 x i1> %v33, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v77 = add i64 %v74, 8
  %v78 = getelementptr inbounds float, ptr %v1, i64 %v77
  %v79 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v78, <8 x i1> %v46, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v80 = add i64 %v74, 16
  %v81 = getelementptr inbounds float, ptr %v1, i64 %v80
  %v82 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v81, <8 x i1> %v55, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v83 = add i64 %v74, 24
  %v84 = getelementptr inbounds float, ptr %v1, i64 %v83
  %v85 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v84, <8 x i1> %v64, <8 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v86 = getelementptr inbounds float, ptr %v3, i64 %v34
  %v87 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v86, <8 x i1> %v33, <8 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v88 = add i64 %v34, 8
  %v89 = getelementptr inbounds float, ptr %v3, i64 %v88
  %v90 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v89, <8 x i1> %v46, <8 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v91 = add i64 %v34, 16
  %v92 = getelementptr inbounds float, ptr %v3, i64 %v91
  %v93 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v92, <8 x i1> %v55, <8 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v94 = add i64 %v34, 24
  %v95 = getelementptr inbounds float, ptr %v3, i64 %v94
  %v96 = call <8 x float> @llvm.masked.load.v8f32.p0(ptr align 4 %v95, <8 x i1> %v64, <8 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v97 = fadd contract <8 x float> %v40, %v87
  %v98 = fadd contract <8 x float> %v49, %v90
  %v99 = fadd contract <8 x float> %v58, %v93
  %v100 = fadd contract <8 x float> %v67, %v96
  %v101 = fadd contract <8 x float> %v76, %v87
  %v102 = fadd contract <8 x float> %v79, %v90
  %v103 = fadd contract <8 x float> %v82, %v93
  %v104 = fadd contract <8 x float> %v85, %v96
  %v105 = getelementptr inbounds float, ptr %v5, i64 %v38
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v97, ptr align 4 %v105, <8 x i1> %v33), !alias.scope !10, !noalias !11
  %v106 = add i64 %v38, 8
  %v107 = getelementptr inbounds float, ptr %v5, i64 %v106
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v98, ptr align 4 %v107, <8 x i1> %v46), !alias.scope !10, !noalias !11
  %v108 = add i64 %v38, 16
  %v109 = getelementptr inbounds float, ptr %v5, i64 %v108
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v99, ptr align 4 %v109, <8 x i1> %v55), !alias.scope !10, !noalias !11
  %v110 = add i64 %v38, 24
  %v111 = getelementptr inbounds float, ptr %v5, i64 %v110
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v100, ptr align 4 %v111, <8 x i1> %v64), !alias.scope !10, !noalias !11
  %v112 = getelementptr inbounds float, ptr %v5, i64 %v74
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v101, ptr align 4 %v112, <8 x i1> %v33), !alias.scope !10, !noalias !11
  %v113 = add i64 %v74, 8
  %v114 = getelementptr inbounds float, ptr %v5, i64 %v113
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v102, ptr align 4 %v114, <8 x i1> %v46), !alias.scope !10, !noalias !11
  %v115 = add i64 %v74, 16
  %v116 = getelementptr inbounds float, ptr %v5, i64 %v115
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v103, ptr align 4 %v116, <8 x i1> %v55), !alias.scope !10, !noalias !11
  %v117 = add i64 %v74, 24
  %v118 = getelementptr inbounds float, ptr %v5, i64 %v117
  call void @llvm.masked.store.v8f32.p0(<8 x float> %v104, ptr align 4 %v118, <8 x i1> %v64), !alias.scope !10, !noalias !11
  br label %finished
finished:
  %following = add nuw nsw i64 %program64, 1
  br label %programs
return:
  ret void
}

declare <8 x float> @llvm.masked.load.v8f32.p0(ptr, <8 x i1>, <8 x float>)
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
