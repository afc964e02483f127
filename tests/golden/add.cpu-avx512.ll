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
  %v28 = insertelement <16 x i32> poison, i32 %v9, i64 0
  %v29 = shufflevector <16 x i32> %v28, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v30 = insertelement <16 x i32> poison, i32 %v26, i64 0
  %v31 = shufflevector <16 x i32> %v30, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v32 = add <16 x i32> %v31, <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
  %v33 = icmp slt <16 x i32> %v32, %v29
  %v34 = sext i32 %v26 to i64
  %v35 = sext i32 %v9 to i64
  %v36 = sext i32 %v27 to i64
  %v37 = mul i64 %v35, %v36
  %v38 = add i64 %v34, %v37
  %v39 = getelementptr inbounds float, ptr %v1, i64 %v38
  %v40 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v39, <16 x i1> %v33, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v41 = insertelement <16 x i32> poison, i32 %v9, i64 0
  %v42 = shufflevector <16 x i32> %v41, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v43 = insertelement <16 x i32> poison, i32 %v26, i64 0
  %v44 = shufflevector <16 x i32> %v43, <16 x i32> poison, <16 x i32> <i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0, i32 0>
  %v45 = add <16 x i32> %v44, <i32 16, i32 17, i32 18, i32 19, i32 20, i32 21, i32 22, i32 23, i32 24, i32 25, i32 26, i32 27, i32 28, i32 29, i32 30, i32 31>
  %v46 = icmp slt <16 x i32> %v45, %v42
  %v47 = add i64 %v38, 16
  %v48 = getelementptr inbounds float, ptr %v1, i64 %v47
  %v49 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v48, <16 x i1> %v46, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v50 = add i32 %v27, 1
  %v51 = add i32 %v27, 1
  %v52 = icmp slt i32 %v51, %v7
  %v53 = select i1 %v52, i32 %v50, i32 %v27
  %v54 = sext i32 %v53 to i64
  %v55 = mul i64 %v35, %v54
  %v56 = add i64 %v34, %v55
  %v57 = getelementptr inbounds float, ptr %v1, i64 %v56
  %v58 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v57, <16 x i1> %v33, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v59 = add i64 %v56, 16
  %v60 = getelementptr inbounds float, ptr %v1, i64 %v59
  %v61 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v60, <16 x i1> %v46, <16 x float> zeroinitializer), !alias.scope !6, !noalias !7
  %v62 = getelementptr inbounds float, ptr %v3, i64 %v34
  %v63 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v62, <16 x i1> %v33, <16 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v64 = add i64 %v34, 16
  %v65 = getelementptr inbounds float, ptr %v3, i64 %v64
  %v66 = call <16 x float> @llvm.masked.load.v16f32.p0(ptr align 4 %v65, <16 x i1> %v46, <16 x float> zeroinitializer), !alias.scope !8, !noalias !9
  %v67 = fadd contract <16 x float> %v40, %v63
  %v68 = fadd contract <16 x float> %v49, %v66
  %v69 = fadd contract <16 x float> %v58, %v63
  %v70 = fadd contract <16 x float> %v61, %v66
  %v71 = getelementptr inbounds float, ptr %v5, i64 %v38
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v67, ptr align 4 %v71, <16 x i1> %v33), !alias.scope !10, !noalias !11
  %v72 = add i64 %v38, 16
  %v73 = getelementptr inbounds float, ptr %v5, i64 %v72
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v68, ptr align 4 %v73, <16 x i1> %v46), !alias.scope !10, !noalias !11
  %v74 = getelementptr inbounds float, ptr %v5, i64 %v56
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v69, ptr align 4 %v74, <16 x i1> %v33), !alias.scope !10, !noalias !11
  %v75 = add i64 %v56, 16
  %v76 = getelementptr inbounds float, ptr %v5, i64 %v75
  call void @llvm.masked.store.v16f32.p0(<16 x float> %v70, ptr align 4 %v76, <16 x i1> %v46), !alias.scope !10, !noalias !11
  br label %finished
finished:
  %following = add nuw nsw i64 %program64, 1
  br label %programs
return:
  ret void
}

declare <16 x float> @llvm.masked.load.v16f32.p0(ptr, <16 x i1>, <16 x float>)
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
